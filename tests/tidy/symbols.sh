#!/bin/sh
# Checks that each function that vecdb.h declares is exported, that each exported one is declared, and
# that each VDB_INTERNAL function that a header declares is defined. Usage: symbols.sh LIB.so LIB.a
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Names of the functions declared with the given mark in the files.
declared() {
  mark=$1
  shift
  grep -hv '^#' "$@" | tr '\n' ' ' | grep -oE "$mark [^;{(]*[ *][a-z0-9_]+\(" | sed 's/($//; s/.*[ *]//' | sort -u
}

declared VECDB_API vecdb.h >"$tmp/public"
nm -D --defined-only "$1" | awk '{print $3}' | sort -u >"$tmp/exported"
declared VDB_INTERNAL lib/*/*.h >"$tmp/internal"
nm -g --defined-only "$2" | awk 'NF == 3 {print $3}' | sort -u >"$tmp/defined"

status=0
# report FILE FILE TEXT: names in the first file that the second lacks.
report() {
  missing=$(comm -23 "$1" "$2")
  [ -z "$missing" ] && return
  echo "symbols: $3:" $missing >&2
  status=1
}
report "$tmp/public" "$tmp/exported" 'declared in vecdb.h, not exported'
report "$tmp/exported" "$tmp/public" 'exported, not declared in vecdb.h'
# Functions for one kind of processor are declared under #if.
grep -vE '^vdb_kern_(neon|avx)|_(neon|avx2|avx512)$' "$tmp/internal" >"$tmp/portable"
report "$tmp/portable" "$tmp/defined" 'declared VDB_INTERNAL, not defined'
exit $status
