#!/bin/sh
# Tests build/vecdb.c with each named compiler that is installed: it compiles alone, strictly and with
# plain flags, exports only vecdb_*, links with a C++ program, and passes tests/api. With OBJECT= it is
# compiled already; with SHORT=yes it passes one test, as make test runs tests/api on that object, and what
# is not compiled yet is held against the compiler's warnings alone.
# Usage: amalgamation.sh COMPILER...
set -eu
root=$(pwd)
strict='-Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Werror'
# The tests are not what is tested: they need not be fast, but built soon, and what they show of
# answers on many rows the other builds have shown.
flags='-O1 -w -std=c11 -D_GNU_SOURCE -DTEST_SLOW -ffunction-sections -Itests'
tests=$(ls tests/api/test_*.c)
[ "${SHORT:-}" = yes ] && tests=tests/api/test_api.c

for compiler; do
  if ! command -v "$compiler" >/dev/null; then
    echo "skipped: $compiler, not installed"
    continue
  fi
  echo "== $compiler"
  out=build/single/$(basename "$compiler")
  rm -rf "$out"
  mkdir -p "$out/tlib"
  # Beside the header and nothing else, so that no other file of the tree can be found.
  cp build/vecdb.c vecdb.h "$out"
  if [ -n "${OBJECT:-}" ]; then
    cp "$OBJECT" "$out/vecdb.o"
  elif [ "${SHORT:-}" = yes ]; then
    # shellcheck disable=SC2086
    (cd "$out" && $compiler -std=c11 $strict -fsyntax-only vecdb.c)
    continue
  else
    # shellcheck disable=SC2086
    (cd "$out" && $compiler -std=c11 -O2 $strict -c vecdb.c)
  fi
  other=$(nm -g --defined-only "$out/vecdb.o" | awk 'NF == 3 && $3 !~ /^vecdb_/ {print $3}')
  if [ -n "$other" ]; then
    echo "vecdb.o defines global names outside vecdb_*: $other"
    exit 1
  fi
  cat >"$out/from_cpp.cpp" <<'CPP'
#include "vecdb.h"
int main() { return vecdb_version_number() == 0; }
CPP
  "${CXX:-c++}" -std=c++11 -I"$out" -o "$out/from_cpp" "$out/from_cpp.cpp" "$out/vecdb.o" -pthread -lm
  "$out/from_cpp"

  # The helpers that need only the public header: those that compile without lib/.
  for file in tests/tlib/*.c; do
    # shellcheck disable=SC2086
    $compiler $flags -I"$out" -c -o "$out/tlib/$(basename "$file" .c).o" "$file" 2>/dev/null || true
  done
  for test in $tests; do
    program=$out/$(basename "$test" .c)
    # shellcheck disable=SC2086
    $compiler $flags -I"$out" -Wl,--gc-sections -o "$program" "$test" "$out"/tlib/*.o \
      "$out/vecdb.o" -pthread -lcmocka -lm
    echo "$program"
    # The test runs from the root, as the others do. Its count is kept out of the summary.
    (cd "$root" && "$program") >"$program.log" 2>&1 || { cat "$program.log"; exit 1; }
  done
done
