#!/bin/sh
# Rows from a file into vecdbd by vecdb-ingest, over HTTP: all of them, but the two that are none,
# and nothing again by a second run. Run by make ingest-test.
set -eu
folder=$(mktemp -d)
url=http://127.0.0.1:${PORT:-18437}
build/vecdbd --data "$folder/db" --listen "${url#http://}" >"$folder/log" 2>&1 &
server=$!
trap 'kill $server; wait $server || true; rm -rf "$folder"' EXIT
post() { curl -sf --retry 50 --retry-connrefused --retry-delay 1 -H 'Content-Type: application/json' -d "$2" "$url/v1/collections$1"; }
ingest() {
  build/vecdb-ingest --state "$folder/state" --collection rows --file "$folder/rows" \
    --server "$url" --dead "$folder/dead"
}

post '' '{"name": "rows", "fields": [{"name": "id", "type": "INT64", "primary_key": true},
  {"name": "v", "type": "FLOAT_VECTOR", "dim": 2, "metric": "L2"}]}' >"$folder/answer"
for i in $(seq 1 2500); do echo "{\"id\": $i, \"v\": [$i, 1]}"; done |
  sed '700s/.*/{"id": 1, "v": [1]}/; 1400s/.*/not json/' >"$folder/rows"
ingest
ingest
count=$(post /rows/count '{}')
[ "$count" = '{"count":2498}' ] || { echo "ingest: $count instead of 2498"; exit 1; }
[ "$(wc -l <"$folder/dead")" = 2 ] || { echo 'ingest: not 2 lines for 2 bad ones'; exit 1; }
echo 'ingest: 2,498 rows by HTTP, 2 refused'
