#!/bin/sh
# Writes what lib/all.c must be: every source file of lib/, folder by folder in the order of the layer
# table of lib/README.md.
set -eu
cd "$(dirname "$0")/../.."
cat <<'HEAD'
/*
 * all.c - the library as one translation unit: every source file, lower layers first. The single
 * file (make amalgamation) is made from this list. `make sources` writes it, `make tidy` checks it.
 */
HEAD
awk -F '[|,]' '/^\| [a-z]+ \|/ && $2 !~ /folder/ {gsub(/ /, "", $2); print $2}' lib/README.md |
  while read -r folder; do
    LC_ALL=C
    export LC_ALL
    set -- lib/"$folder"/*.c
    [ -e "$1" ] || continue
    echo
    for file; do
      echo "#include \"${file#lib/}\""
    done
  done
