#!/bin/sh
# Compiles files with clang for its warnings alone, all in one process: the driver would start one for
# each, which takes longer than reading the file. Usage: clang.sh CLANG 'FLAG...' FILE...
set -eu
clang=$1
flags=$2
shift 2
# shellcheck disable=SC2086 # words on purpose
line=$($clang $flags -fsyntax-only '-###' "$1" 2>&1 | grep -- '"-cc1"')
# What the driver would run, which ends in the file's name; all names take its place.
eval "exec ${line% *}" '"$@"'
