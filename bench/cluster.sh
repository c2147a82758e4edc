#!/bin/sh
# Searches of collections of 1 to 4 shards, each of one replica on a node of its own, with the same
# rows: one etcd and four nodes on loopback. Usage: cluster.sh BASE QUERY [ROWS]
set -eu
build=${BUILD:-build}
dir=$(mktemp -d)
port=${BENCH_PORT:-24900} # and the 20 behind it
etcd="http://127.0.0.1:$port"
pids=

stop() {
  # shellcheck disable=SC2086
  kill $pids "$etcd_pid" 2>/dev/null || true
  wait
  rm -rf "$dir"
}

cluster() { "$build/vecdb-cluster" "$@" --etcd "$etcd"; }

etcd --data-dir "$dir/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
  --listen-peer-urls "http://127.0.0.1:$((port + 1))" >"$dir/etcd.log" 2>&1 &
etcd_pid=$!
trap stop EXIT INT TERM
until id=$(cluster init 2>/dev/null); do sleep 0.2; done
nodes=
for i in 1 2 3 4; do
  address=127.0.0.1:$((port + 1 + i))
  cluster add-node $i --address "$address" >/dev/null
  "$build/vecdb-node" --id $i --cluster "$id" --data "$dir/node$i" --listen "$address" --etcd "$etcd" \
    >"$dir/node$i.log" 2>&1 </dev/null &
  pids="$pids $!"
  nodes="$nodes${nodes:+,}$i@$address"
done
echo '{"fields": [{"name": "id", "type": "INT64", "primary_key": true},
  {"name": "v", "type": "FLOAT_VECTOR", "dim": 384, "metric": "IP"}]}' >"$dir/schema.json"
for i in 1 2 3 4; do
  cluster create --collection "shards$i" --schema "$dir/schema.json" --shards $i --replicas 1 \
    --min-isr 1 >/dev/null
done
until [ "$(cluster status | grep -c 'shards[1-4] .*\([1-4]\) *1 *1 *\1$')" = 4 ]; do sleep 0.2; done
"$build/bench/cluster" "$nodes" "$id" "$1" "$2" "${3:-20000}" \
  "$(echo $pids | tr ' ' ',')" shards1 shards2 shards3 shards4
