#!/bin/sh
# Runs the short programs of examples/, and compiles and runs the C program in README.md, in a scratch
# folder. All must end well and say something.
set -eu
root=$(pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/build"

# The first C text in README with a main.
awk '/^```c$/ {text = ""; on = 1; next} /^```$/ {if (on && text ~ /int main/) exit; on = 0}
     on {text = text $0 "\n"} END {printf "%s", text}' README.md >"$tmp/readme.c"
# shellcheck disable=SC2086
${CC:-cc} -std=c11 -pedantic -Wall -Wextra -Wconversion -Werror ${CFLAGS:-} -I. -pthread \
  -o "$tmp/readme" "$tmp/readme.c" build/libvecdb.a ${LIBS:--lm}

cd "$tmp"
for program in "$tmp/readme" "$@"; do
  case $program in
    /*) ;;
    *) program=$root/$program ;;
  esac
  status=0
  "$program" >said 2>&1 || status=$?
  if [ $status -ne 0 ] || [ ! -s said ]; then
    echo "$program: exit status $status"
    cat said
    exit 1
  fi
  echo "$(basename "$program"): $(tail -n 1 said)"
done
