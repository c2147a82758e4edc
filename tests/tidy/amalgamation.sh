#!/bin/sh
# Tests build/vecdb.c: with each compiler that is installed it compiles alone, strictly and with plain
# flags, exports only vecdb_*, links with a C++ program, and passes tests/api.
set -eu
CLANG=${CLANG:-clang}
root=$(pwd)
out=build/single
strict='-Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Werror'
rm -rf $out
mkdir -p $out
# Beside the header and nothing else, so that no other file of the tree can be found.
cp build/vecdb.c vecdb.h $out

cat >$out/from_cpp.cpp <<'CPP'
#include "vecdb.h"
int main() { return vecdb_version_number() == 0; }
CPP

for compiler in gcc "$CLANG"; do
  if ! command -v "$compiler" >/dev/null; then
    echo "skipped: $compiler, not installed"
    continue
  fi
  echo "== $compiler"
  # shellcheck disable=SC2086
  (cd $out && $compiler -std=c11 -O2 $strict -fsyntax-only vecdb.c && $compiler -O2 $strict -c vecdb.c)
  other=$(nm -g --defined-only $out/vecdb.o | awk 'NF == 3 && $3 !~ /^vecdb_/ {print $3}')
  if [ -n "$other" ]; then
    echo "vecdb.o defines global names outside vecdb_*: $other"
    exit 1
  fi
  "${CXX:-c++}" -std=c++11 -I$out -o $out/from_cpp $out/from_cpp.cpp $out/vecdb.o -pthread -lm
  $out/from_cpp

  # The helpers that need only the public header: those that compile without lib/.
  helpers=$(for file in tests/tlib/*.c; do
    $compiler -D_GNU_SOURCE -I$out -Itests -E "$file" >/dev/null 2>&1 && echo "$file"
  done || true)
  for test in tests/api/test_*.c; do
    [ -e "$test" ] || continue
    program=$out/$(basename "$test" .c)
    # shellcheck disable=SC2086
    $compiler -O2 -std=c11 -D_GNU_SOURCE -I$out -Itests -ffunction-sections -Wl,--gc-sections \
      -o "$program" "$test" $helpers $out/vecdb.o -pthread -lcmocka -lm
    echo "$program"
    # The test runs from the root, as the others do. Its count is kept out of the summary.
    (cd "$root" && "$program") >"$program.log" 2>&1 || { cat "$program.log"; exit 1; }
  done
done
