#!/bin/sh
# Makes the manual by doxygen, and says where it is. Usage: make.sh FOLDER
# A warning is an error. Members and enumerators may do without a comment where their names say all;
# functions, structs and enumerations may not.
set -eu
mkdir -p "$1"
log=$1/log
doxygen .package/manual/Doxyfile >"$log" 2>&1 || { cat "$log"; exit 1; }
if grep -v '(variable)\|(enumvalue)\|(macro definition)' "$log"; then
  exit 1
fi
echo "the manual: $1/html/index.html, and $(find "$1/man" -name 'vecdb_*' | wc -l) pages for man in $1/man"
