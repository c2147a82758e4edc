#!/bin/sh
# Unmodified pymilvus from PyPI against build/vecdbd: one environment in build/milvus for each version,
# each on a server and a database of its own, and on one before a cluster of three nodes. Skipped, with
# the reason, where PyPI cannot be reached; the cluster where there is no etcd.
set -u
cd "$(dirname "$0")/../.." || exit 1
folder=build/milvus
server=
mkdir -p $folder
trap '[ -z "$server" ] || kill "$server" 2>/dev/null' EXIT

# environment VERSION [PACKAGE...]
environment() {
  version=$1
  shift
  [ -f "$folder/$version/installed" ] && return 0
  python3 -m venv "$folder/$version" &&
    "$folder/$version/bin/pip" -q install "pymilvus==$version" 'setuptools<75' "$@" \
      >"$folder/pip.log" 2>&1 && touch "$folder/$version/installed"
}

# start ADDRESS: a server with an empty database; the port of its address for gRPC alone ("milvus"), or
# of the one for all protocols ("all"), in $port.
start() {
  case $1 in
    milvus) line="Milvus's clients" ;;
    all) line=$folder/db ;;
  esac
  rm -rf $folder/db $folder/db.milvus.json
  : >$folder/log
  build/vecdbd --data $folder/db --listen 127.0.0.1:0 --server.milvus 127.0.0.1:0 2>$folder/log &
  server=$!
  port=
  while [ -z "$port" ]; do
    kill -0 $server 2>/dev/null || { cat $folder/log; exit 1; }
    port=$(sed -n "s|.*serving $line on port ||p" $folder/log)
  done
}

# stop: in order, as a service is stopped.
stop() {
  kill $server
  wait $server || { echo "milvus-test: the server failed when it was stopped" && exit 1; }
  server=
}

# check VERSION ADDRESS SCRIPT...
check() {
  version=$1
  address=$2
  shift 2
  for script in "$@"; do
    start "$address"
    "$folder/$version/bin/python" "tests/server/$script.py" "$port" ||
      { echo "milvus-test: $script failed with pymilvus $version" && exit 1; }
    stop
  done
}

# check_cluster VERSION SCRIPT...: the server before three nodes and three etcd members.
check_cluster() {
  version=$1
  shift
  command -v etcd >/dev/null || { echo 'skipped: there is no etcd for a cluster'; return; }
  for script in "$@"; do
    : >$folder/cluster.log
    DEMO_DIR=$folder/cluster DEMO_PORT=26300 sh cluster/demo/demo.sh up >$folder/cluster.log 2>&1 &
    server=$!
    until grep -q '^http' $folder/cluster.log; do
      kill -0 $server 2>/dev/null || { cat $folder/cluster.log; exit 1; }
    done
    "$folder/$version/bin/python" "tests/server/$script.py" 26320 ||
      { echo "milvus-test: $script failed with pymilvus $version before a cluster" && exit 1; }
    kill $server
    wait $server
    server=
  done
}

environment 2.4.15 && environment 2.6.17 fastapi httpx requests && environment 3.0.2 || {
  echo "skipped: pymilvus cannot be installed: $(tail -n 1 $folder/pip.log 2>/dev/null)"
  exit 0
}
check 2.4.15 milvus milvus_orm
check 2.6.17 milvus milvus_orm milvus_client milvus_dialect milvus_example
check 3.0.2 all milvus_orm milvus_client milvus_dialect
check_cluster 2.4.15 milvus_orm
check_cluster 2.6.17 milvus_orm
