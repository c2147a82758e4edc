#!/bin/sh
# A cluster on loopback: three etcd members, three nodes, a collection of four shards with three
# replicas each, cluster_demo upon it, and then vecdbd before it while a node is dead.
# Usage: demo.sh [run | node I | up]; up: etcd, nodes and vecdbd, on DEMO_PORT + 20, until it is ended.
set -eu
build=${BUILD:-build}
dir=${DEMO_DIR:-$build/cluster-demo}
port=${DEMO_PORT:-23900} # and the 20 behind it

etcd_urls() {
  echo "http://127.0.0.1:$((port + 1)),http://127.0.0.1:$((port + 2)),http://127.0.0.1:$((port + 3))"
}

start_etcd() {
  peers=
  for i in 1 2 3; do
    peers="$peers${peers:+,}m$i=http://127.0.0.1:$((port + 10 + i))"
  done
  for i in 1 2 3; do
    etcd --name "m$i" --data-dir "$dir/etcd$i" --initial-cluster "$peers" \
      --listen-client-urls "http://127.0.0.1:$((port + i))" \
      --advertise-client-urls "http://127.0.0.1:$((port + i))" \
      --listen-peer-urls "http://127.0.0.1:$((port + 10 + i))" \
      --initial-advertise-peer-urls "http://127.0.0.1:$((port + 10 + i))" \
      >"$dir/etcd$i.log" 2>&1 &
    echo $! >"$dir/etcd$i.pid"
  done
}

start_node() {
  "$build/vecdb-node" --id "$1" --cluster "$(cat "$dir/cluster")" --data "$dir/node$1" \
    --listen "127.0.0.1:$((port + 4 + $1))" --etcd "$(etcd_urls)" </dev/null >>"$dir/node$1.log" 2>&1 &
  echo $! >"$dir/node$1.pid"
}

start_front() {
  "$build/vecdbd" --data "$dir/front" --listen "127.0.0.1:$((port + 20))" --cluster.nodes "$nodes" \
    --cluster.id "$(cat "$dir/cluster")" ${EMBEDDING_URL:+--embedding.url "$EMBEDDING_URL"} \
    >"$dir/front.log" 2>&1 &
  echo $! >"$dir/front.pid"
  until curl -sf "$url/readyz" >/dev/null; do
    kill -0 "$(cat "$dir/front.pid")" || { cat "$dir/front.log"; exit 1; }
  done
}

# ask METHOD PATH [BODY]: a request of vecdbd, as one would type it.
ask() {
  curl -sS --fail-with-body -X "$1" "$url$2" ${3:+-H 'Content-Type: application/json' -d "$3"}
}

# The line of the first page, where there is an embedding service; else the same by a row's vector.
search() {
  if [ -n "${EMBEDDING_URL:-}" ]; then
    path=/search body='{"query": "a library for reading compressed files", "top_k": 3}'
  else
    row=$(ask GET /v1/collections/passages/rows/7)
    vector=$(echo "$row" | sed 's/.*"embedding":\(\[[^]]*\]\).*/\1/')
    path=/v1/collections/passages/search
    body="{\"vector\": $vector, \"top_k\": 3, \"fields\": [\"package\"]}"
  fi
  echo "curl -X POST $url$path -d '$(echo "$body" | cut -c 1-60)...'"
  ask POST "$path" "$body"
  echo
}

cluster() {
  "$build/vecdb-cluster" "$@" --etcd "$(etcd_urls)"
}

stop() {
  for pid in "$dir"/*.pid; do
    kill "$(cat "$pid")" 2>/dev/null || true
  done
  wait # their folders are theirs until they have ended
}

if [ "${1:-run}" = node ]; then
  start_node "$2"
  exit
fi
rm -rf "$dir"
mkdir -p "$dir"
trap stop EXIT INT TERM
echo 'starting three etcd members and three nodes on loopback'
start_etcd
until cluster init >"$dir/cluster" 2>/dev/null; do sleep 0.2; done
nodes=
for i in 1 2 3; do
  cluster add-node $i --address "127.0.0.1:$((port + 4 + i))" --zone "zone$i"
  start_node $i
  nodes="$nodes${nodes:+,}$i@127.0.0.1:$((port + 4 + i))"
done
url=http://127.0.0.1:$((port + 20))
if [ "${1:-run}" = up ]; then
  start_front
  echo "$url"
  wait "$(cat "$dir/front.pid")" || true
  exit
fi
cat >"$dir/schema.json" <<'JSON'
{"fields": [
  {"name": "id", "type": "INT64", "primary_key": true},
  {"name": "version", "type": "INT64"},
  {"name": "package", "type": "VARCHAR", "max_length": 256},
  {"name": "text", "type": "VARCHAR", "max_length": 65535},
  {"name": "embedding", "type": "FLOAT_VECTOR", "dim": 384, "metric": "COSINE"}]}
JSON
cluster create --collection passages --schema "$dir/schema.json" --shards 4 --replicas 3 --min-isr 2
until cluster status | grep -q 'passages .*4 *3 *2 *4$'; do sleep 0.2; done
cluster status
"$build/cluster_demo" "${DATA:-examples/data}" "$nodes" "$(cat "$dir/cluster")" "$dir/node1.pid" \
  "BUILD='$build' DEMO_DIR='$dir' DEMO_PORT='$port' sh cluster/demo/demo.sh node 1"
echo 'after it:'
cluster status
until cluster status | grep -q 'passages .*4$'; do sleep 0.2; done # node 1 has caught up
start_front
echo "vecdbd before the cluster, $url:"
search
echo 'node 2 is killed, and asked again:'
kill -9 "$(cat "$dir/node2.pid")"
search
