#!/bin/sh
# Compiles vecdb.h alone as C99, C11 and C++11 with gcc and clang; a compiler that is not installed
# is skipped and said so.
set -eu
CLANG=${CLANG:-clang}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
{
  echo '#include "vecdb.h"'
  echo '#include "vecdb.h"'
  # Every initialiser must fit its struct.
  sed -n 's/^#define VECDB_\([A-Z_]*\)_INIT {sizeof(\([a-z_]*\)).*/\1 \2/p' vecdb.h |
    while read -r name type; do
      echo "extern $type example_$type; $type example_$type = VECDB_${name}_INIT;"
    done
  echo 'int main(void) { return vecdb_version() == 0; }'
} >"$tmp/header.c"

# try COMPILER LANGUAGE STANDARD
try() {
  if ! echo 'int x;' | "$1" -x "$2" -fsyntax-only - 2>/dev/null; then
    echo "skipped: $1 for $2, not installed"
    return
  fi
  echo "$1 -std=$3"
  "$1" -x "$2" -std="$3" -pedantic -Wall -Wextra -Wconversion -Werror -I. -fsyntax-only "$tmp/header.c"
}
for compiler in gcc "$CLANG"; do
  try "$compiler" c c99
  try "$compiler" c c11
  try "$compiler" c++ c++11
done
