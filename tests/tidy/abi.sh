#!/bin/sh
# The binary interface of vecdb.h beside the one on record (tests/tidy/vecdb.abi), by abidiff: sizes,
# members and their places, enumerators, functions and what they take. Usage: abi.sh [record]
# The library has these functions and no others (`make symbols`), so bodies that do nothing will do.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
recorded=tests/tidy/vecdb.abi

{
  echo '#include "vecdb.h"'
  awk '/^VECDB_API/ {on = 1} on && sub(/;$/, " { __builtin_trap(); }") {print; on = 0; next} on' vecdb.h
} >"$tmp/vecdb.c"
${CC:-cc} -std=c11 -g -shared -fPIC -fvisibility=hidden -I. -Wl,-soname,libvecdb.so -o "$tmp/libvecdb.so" \
  "$tmp/vecdb.c"
abidw --no-show-locs --no-corpus-path --no-comp-dir-path --no-elf-needed --type-id-style hash \
  --out-file "$tmp/vecdb.abi" "$tmp/libvecdb.so"
if [ "${1:-}" = record ]; then
  cp "$tmp/vecdb.abi" $recorded
  exit
fi

status=0
abidiff --no-show-locs $recorded "$tmp/vecdb.abi" || status=$?
[ $status -ne 0 ] || { echo "vecdb.h has the interface on record: $(grep -c '<function-decl' $recorded) functions"; exit 0; }
echo 'the interface has changed; if that is meant: make abi-record, and say so in the commit'
exit 1
