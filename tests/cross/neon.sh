#!/bin/sh
# Compiles the kernels and the single file for aarch64 and runs tests of both under qemu's user
# emulation; with SHORT=yes the kernels alone. Skipped, and said so, where compiler or emulator cannot
# be had.
set -eu
if ! .ci/deps neon; then
  echo 'skipped: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross or qemu-user-static cannot be had'
  exit 0
fi
out=build/neon
rm -rf $out
mkdir -p $out/kern
CC='aarch64-linux-gnu-gcc -static'
flags='-std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Wconversion -Werror -pthread -DTEST_SLOW -DTEST_EMULATED -Itests/cross -Itests -I.'
run=$(command -v qemu-aarch64-static || command -v qemu-aarch64)

# test NAME FILE...: compiles these into one program and runs it.
test() {
  name=$1
  shift
  # shellcheck disable=SC2086
  $CC $flags -o $out/"$name" "$@" -lm
  "$run" $out/"$name"
}

# The library's own files are clean under the strict warnings; of the tests the usual ones matter.
# shellcheck disable=SC2086
for file in lib/kern/*.c lib/base/*.c; do
  $CC $flags -Ilib -c -o $out/kern/"$(basename "$file" .c)".o "$file"
done
flags="$flags -Wno-conversion"
for unit in tests/unit/test_kern.c tests/unit/test_tile.c tests/unit/test_fastscan.c; do
  [ -e $unit ] || continue
  flags="$flags -Ilib" test "$(basename $unit .c)" $unit $out/kern/*.o
done

[ "${SHORT:-}" = yes ] && exit 0
# shellcheck disable=SC2086
$CC $flags -O1 -c -o $out/all.o build/vecdb.c
test test_api_search tests/api/test_api_search.c tests/tlib/apitest.c $out/all.o
