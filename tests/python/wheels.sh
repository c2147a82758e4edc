#!/bin/sh
# The wheels of `make wheels` are what their names say: the library inside is of the machine, needs no
# symbol of a glibc later than 2.28 and no library but glibc's; on x86-64 the package in the wheel
# passes the light tests, and the library for aarch64 is loaded, written to and searched under qemu.
# Usage, from the root: wheels.sh
set -eu
work=build/wheels/test

# wheel MACHINE ELF-NAME: unpacks it, and looks at its library.
wheel() {
  file=$(ls build/wheels/vecdb-*-py3-none-manylinux_2_28_"$1".whl)
  mkdir -p $work/"$1"
  python3 -m zipfile -e "$file" $work/"$1"
  library=$work/$1/vecdb/libvecdb.so
  readelf -h "$library" | grep -q "Machine: *$2" || { echo "$file: not for $1"; exit 1; }
  needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
  for name in $needed; do
    case $name in
      libc.so.6 | libm.so.6 | libpthread.so.0 | libdl.so.2 | ld-linux-*) ;;
      *) echo "$file: needs $name" && exit 1 ;;
    esac
  done
  newest=$(readelf -V "$library" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
  [ -n "$newest" ] || { echo "$file: no versions of glibc were found"; exit 1; }
  [ "$(printf '%s\nGLIBC_2.28\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.28 ] ||
    { echo "$file: needs $newest"; exit 1; }
  echo "$file: at most $newest, needs" $needed
}

rm -rf $work
wheel x86_64 'Advanced Micro Devices X86-64'
wheel aarch64 AArch64
if [ "$(uname -m)" = x86_64 ]; then
  sh tests/python/python.sh $work/x86_64/vecdb/libvecdb.so $work/x86_64
fi
aarch64-linux-gnu-gcc -std=gnu11 -O1 -Wall -Wextra -Werror -I. -o $work/loaded \
  tests/python/loaded.c -ldl -lm
run=$(command -v qemu-aarch64-static || command -v qemu-aarch64)
"$run" -L /usr/aarch64-linux-gnu $work/loaded $work/aarch64/vecdb/libvecdb.so
