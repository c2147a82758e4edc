#!/bin/sh
# The integration tests of langchain-qdrant's vector store, as PyPI ships them in its source, with
# unmodified packages against build/vecdbd. Those that may fail stand with their reasons in
# langchain_qdrant.failures; any other failure, and one there that passes, is an error. Skipped, with
# the reason, where PyPI cannot be reached.
set -u
cd "$(dirname "$0")/../.." || exit 1
version=1.1.0
folder=$PWD/build/langchain-qdrant
allowed=$PWD/tests/server/langchain_qdrant.failures
server=
mkdir -p "$folder"
trap '[ -z "$server" ] || kill "$server" 2>/dev/null' EXIT

environment() {
  [ -f "$folder/installed" ] && return 0
  echo "installing langchain-qdrant $version"
  python3 -m venv "$folder" &&
    "$folder/bin/pip" -q --disable-pip-version-check install "langchain-qdrant==$version" \
      langchain-tests pytest pytest-asyncio pytest-mock pytest-timeout requests \
      >"$folder/pip.log" 2>&1 &&
    (cd "$folder" && bin/pip -q --disable-pip-version-check download --no-deps \
      --no-binary :all: "langchain-qdrant==$version" >>"$folder/pip.log" 2>&1 &&
      tar xzf "langchain_qdrant-$version.tar.gz") && touch "$folder/installed"
}

environment || {
  echo "skipped: langchain-qdrant cannot be installed: $(tail -n 1 "$folder/pip.log" 2>/dev/null)"
  exit 0
}

rm -rf "$folder/db" "$folder/log"
build/vecdbd --data "$folder/db" --listen 127.0.0.1:0 2>"$folder/log" &
server=$!
port=
while [ -z "$port" ]; do
  kill -0 $server 2>/dev/null || { cat "$folder/log"; exit 1; }
  port=$(sed -n "s|.*serving $folder/db on port ||p" "$folder/log")
done

address=http://127.0.0.1:$port
(cd "$folder/langchain_qdrant-$version" &&
  QDRANT_URL=$address "$folder/bin/pytest" -q --timeout 60 -o asyncio_mode=auto \
    -p no:cacheprovider -rfE --tb=line -k "$port" \
    tests/integration_tests/qdrant_vector_store) >"$folder/out" 2>&1
kill $server
wait $server || { echo 'langchain-qdrant-test: the server failed when it was stopped' && exit 1; }
server=

tail -n 1 "$folder/out"
grep -q ' passed' "$folder/out" || { tail -n 30 "$folder/out"; exit 1; }
# Names without the file's folder and the server's address.
sed -nE 's|^(FAILED\|ERROR) .*/([^/ ]*::.*\[.*)-?http://.*|\2]|p' "$folder/out" | sed 's/-*\]$/]/' |
  sort >"$folder/failed"
sed -n '/^#/!s/^\([^ ]\{1,\}\).*/\1/p' "$allowed" | sort >"$folder/allowed"
if cmp -s "$folder/failed" "$folder/allowed"; then
  echo "failed as $(basename "$allowed") says, with the reasons: $(wc -l <"$folder/failed")"
else
  echo "not as $(basename "$allowed") says (< fails, > should):"
  diff "$folder/failed" "$folder/allowed"
  exit 1
fi
