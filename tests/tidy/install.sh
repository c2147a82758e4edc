#!/bin/sh
# Installs to a scratch folder and builds a small program against it, by pkg-config and by CMake, each
# with the shared and the static library. A tool that is not installed is skipped and said so.
set -eu
root=$(pwd)
out=$root/build/install-test
make=${MAKE:-make}
rm -rf "$out"
mkdir -p "$out/program"
"$make" --no-print-directory install DESTDIR="$out/dest" PREFIX=/usr

cat >"$out/program/main.c" <<'PROGRAM'
#include <stdio.h>
#include <string.h>
#include <vecdb.h>
int main(void) { return puts(vecdb_version()) < 0 || strcmp(vecdb_version(), VECDB_VERSION_STRING) != 0; }
PROGRAM
cat >"$out/program/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.13)
project(program C)
find_package(vecdb 0.1 REQUIRED)
add_executable(shared main.c)
target_link_libraries(shared vecdb::vecdb)
add_executable(static main.c)
target_link_libraries(static vecdb::static)
CMAKE

lib=$out/dest/usr/lib
export LD_LIBRARY_PATH="$lib"
[ -e "$out/dest/usr/include/vecdb.hpp" ]
[ "$(readlink "$lib/libvecdb.so")" = libvecdb.so.0 ]
objdump -p "$lib/libvecdb.so" | grep -q 'SONAME  *libvecdb.so.0'

if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH="$lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$out/dest"
  cd "$out/program"
  # shellcheck disable=SC2046
  ${CC:-cc} -o shared main.c $(pkg-config --cflags --libs vecdb)
  ./shared
  # shellcheck disable=SC2046
  ${CC:-cc} -o static main.c $(pkg-config --cflags vecdb) "$lib/libvecdb.a" \
    $(pkg-config --static --libs-only-other vecdb) -lm
  ./static
  cd "$root"
else
  echo "skipped: pkg-config, not installed"
fi

if command -v cmake >/dev/null; then
  cmake -S "$out/program" -B "$out/cmake" -DCMAKE_PREFIX_PATH="$out/dest/usr" >"$out/cmake.log" ||
    { cat "$out/cmake.log"; exit 1; }
  cmake --build "$out/cmake" >"$out/cmake.log" || { cat "$out/cmake.log"; exit 1; }
  "$out/cmake/shared"
  "$out/cmake/static"
else
  echo "skipped: cmake, not installed"
fi
