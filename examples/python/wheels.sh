#!/bin/sh
# Builds wheels for Linux on x86-64 and aarch64 into build/wheels, with a compiler that links against
# an old glibc (zig cc, from PyPI), so that their tag is true; tests/python/wheels.sh checks it.
# Usage, from the root: wheels.sh PYTHON, which has pip; build/vecdb.c is there.
set -eu
python=$1
glibc=2.28
out=build/wheels
rm -rf "${out:?}"/lib "${out:?}"/*.whl
for machine in x86_64 aarch64; do
  mkdir -p $out/lib/$machine
  "$python" -m ziglang cc -target $machine-linux-gnu.$glibc -std=gnu11 -O2 -s -shared -fPIC \
    -fvisibility=hidden -pthread -I. -Wl,-soname,libvecdb.so -Wl,-z,defs \
    -o $out/lib/$machine/libvecdb.so build/vecdb.c -lm
  VECDB_WHEEL_LIBRARY=$out/lib/$machine/libvecdb.so \
    VECDB_WHEEL_PLATFORM=manylinux_2_28_$machine \
    "$python" -m pip -q --disable-pip-version-check wheel --no-deps --wheel-dir $out ./examples/python
done
ls $out/*.whl
