#!/bin/sh
# Runs tests of the ordinary build on an emulated processor of 2006, which has no AVX: nothing but the
# scalar kernels may run there. Usage: baseline.sh TEST...
set -eu
if [ "$(uname -m)" != x86_64 ]; then
  echo 'skipped: not an x86-64 machine'
  exit 0
fi
if ! .ci/deps baseline; then
  echo 'skipped: qemu-user-static cannot be had'
  exit 0
fi
out=build/baseline
mkdir -p $out
run="$(command -v qemu-x86_64-static || command -v qemu-x86_64) -cpu core2duo"

# What the emulator is worth: an instruction of AVX must end a program.
cat >$out/avx.c <<'C'
int main(void) {
  __asm__ volatile("vxorps %%ymm0, %%ymm0, %%ymm0" : : : "xmm0");
  return 0;
}
C
${CC:-cc} -o $out/avx $out/avx.c
if $run $out/avx 2>/dev/null; then
  echo 'the emulated processor has AVX: this test would prove nothing' >&2
  exit 1
fi

cat >$out/kernels.c <<'C'
#include <stdio.h>
#include "vecdb.h"
int main(void) { return puts(vecdb_kernels()) < 0; }
C
${CC:-cc} -I. -o $out/kernels $out/kernels.c build/libvecdb.a -pthread -lm
kernels=$($run $out/kernels)
[ "$kernels" = scalar ] || { echo "the kernels are $kernels, not scalar" >&2; exit 1; }
for program; do
  $run "$program"
done
