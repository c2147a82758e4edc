#!/bin/sh
# Peers' own test suites, and programs of others, from PyPI against build/vecdbd, or $VECDBD.
# `peers.sh quick` runs a few tests within a few seconds; `peers.sh all [SUITE...]` runs all of the
# suites, or those named. A suite is a file NAME.suite beside this one, which sets `packages` (for an
# environment of its own), may set `more` (packages that suite_quick does without) and `source` (a source
# distribution to unpack into $source_folder), and defines suite_all and, if it sets `quick`, suite_quick.
# Skipped, with the reason, where PyPI cannot be reached.
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
here=$root/tests/peers
folder=$root/build/peers
vecdbd=$root/${VECDBD:-build/vecdbd}
mode=${1:-all}
[ $# -gt 0 ] && shift
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null' EXIT

# install: the suite's environment, once for each list of packages.
install() {
  python=$folder/$suite/bin/python
  [ "$packages $source" = "$(cat "$folder/$suite/installed" 2>/dev/null)" ] && return 0
  echo "peers: installing $suite from PyPI"
  mkdir -p "$folder" && rm -rf "${folder:?}/$suite" && python3 -m venv "$folder/$suite" || return 1
  # shellcheck disable=SC2086 # words on purpose
  "$python" -m pip -q --disable-pip-version-check install --no-compile $packages >"$folder/pip.log" 2>&1 || return 1
  if [ -n "$source" ]; then
    (cd "$folder/$suite" && "$python" -m pip -q --disable-pip-version-check download --no-deps \
      --no-binary :all: "$source" >"$folder/pip.log" 2>&1 && tar xzf ./*.tar.gz) || return 1
  fi
  echo "$packages $source" >"$folder/$suite/installed"
}

# start: a server with an empty database, its port in $port.
start() {
  rm -rf "$folder/db" "$folder/db.milvus.json" "$folder/log"
  "$vecdbd" --data "$folder/db" --listen 127.0.0.1:0 2>"$folder/log" &
  server=$!
  port=
  while [ -z "$port" ]; do
    kill -0 $server 2>/dev/null || { cat "$folder/log"; exit 1; }
    port=$(sed -n "s|.*serving .* on port ||p" "$folder/log")
  done
}

# stop: in order, as a service is stopped.
stop() {
  kill $server
  wait $server || { echo 'peers: the server failed when it was stopped'; exit 1; }
  server=
}

run() {
  suite=$1
  packages=
  more=
  source=
  quick=
  # shellcheck disable=SC1090
  . "$here/$suite.suite"
  [ "$mode" = all ] || [ -n "$quick" ] || return 0
  [ "$mode" = quick ] || packages="$packages $more"
  source_folder=$folder/$suite/$(echo "$source" | sed 's/==/-/; s/^\([a-z]*\)-\([a-z]*\)/\1_\2/')
  if ! install; then
    echo "skipped: $suite cannot be had from PyPI: $(tail -n 1 "$folder/pip.log" 2>/dev/null)"
    return 0
  fi
  "suite_$mode" || { echo "peers: $suite failed"; exit 1; }
}

case $mode in
  quick | all) ;;
  *) echo "usage: peers.sh quick|all [SUITE...]"; exit 2 ;;
esac
[ $# -gt 0 ] || set -- "$here"/*.suite
for file in "$@"; do
  run "$(basename "$file" .suite)"
done
