#!/bin/sh
# Checks what the built libraries define: the shared one exports vecdb_* and nothing else, the
# static one has only vecdb_* and vdb_* in its global names. Usage: exports.sh LIBRARY.so LIBRARY.a
set -eu
other=$(nm -D --defined-only "$1" | awk '$3 !~ /^vecdb_/ {print $3}')
if [ -n "$other" ]; then
  echo "exports: $1 exports names outside vecdb_*:" $other >&2
  exit 1
fi
other=$(nm -g --defined-only "$2" | awk 'NF == 3 && $3 !~ /^(vecdb|vdb)_/ {print $3}')
if [ -n "$other" ]; then
  echo "exports: $2 defines global names outside vecdb_* and vdb_*:" $other >&2
  exit 1
fi
