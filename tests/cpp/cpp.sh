#!/bin/sh
# Checks vecdb.hpp: it reaches every function of vecdb.h; it and its test compile as C++17 without
# exceptions and as C++20, with gcc and clang, without a warning; and the test passes under the sanitizers. A
# compiler that is not installed is skipped and said so. Usage: cpp.sh build/asan/libvecdb.a
set -eu
CXX=${CXX:-c++}
CLANG=${CLANG:-clang}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

functions=$(grep -v '^#' vecdb.h | tr '\n' ' ' | grep -oE 'VECDB_API [^;{(]*[ *][a-z0-9_]+\(' |
  sed 's/($//; s/.*[ *]//')
[ -n "$functions" ]
for name in $functions; do
  grep -qw "$name" examples/cpp/vecdb.hpp || { echo "vecdb.hpp does not reach $name"; exit 1; }
done

# compiles COMPILER FLAG...
compiles() {
  if ! echo 'int x;' | "$1" -x c++ -fsyntax-only - 2>/dev/null; then
    echo "skipped: $1 for C++, not installed"
    return
  fi
  "$@" -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -I. -Iexamples/cpp -fsyntax-only \
    tests/cpp/wrapper.cc
}
compiles "${CXX##*ccache }" -std=c++17 -fno-exceptions -fno-rtti
compiles "$CLANG++" -std=c++20

# The third way is that of the program that is run.
# shellcheck disable=SC2086
$CXX -std=c++20 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -g1 \
  -fsanitize=address,undefined -fsanitize-undefined-trap-on-error -I. -Iexamples/cpp -o "$tmp/wrapper" \
  tests/cpp/wrapper.cc "$1" -pthread ${LIBS:--lm}
ASAN_OPTIONS=detect_leaks=1:handle_sigill=1 "$tmp/wrapper" "$tmp"
