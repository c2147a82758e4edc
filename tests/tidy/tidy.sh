#!/bin/sh
# Checks the house rules of lib/README.md as far as a script can see them; prints what breaks them, and
# fails if anything does. Exceptions, each with its reason, are in tests/tidy/exceptions.
set -u
cd "$(dirname "$0")/../.." || exit 1
LC_ALL=C
export LC_ALL
here=tests/tidy
status=0

# check SCRIPT FILE... runs an awk script over files.
check() {
  script=$1
  shift
  awk -f $here/code.awk -f "$here/$script" "$@" || status=1
}

library=$(find lib -name '*.[ch]' ! -path lib/all.c | sort)
others=$(find tests bench examples cluster \( -name '*.[ch]' -o -name '*.cc' -o -name '*.hpp' \) | sort)
texts=$(find lib tests bench examples gpu cluster .ci .package -type f \
  \( -name '*.md' -o -name '*.sh' -o -name '*.awk' -o -name '*.in' -o -path '.ci/*' \) | sort)

# shellcheck disable=SC2086
{
  check lines.awk vecdb.h lib/all.c $library $others $texts Makefile
  check layers.awk lib/README.md $library $others
  check banned.awk $library
  check functions.awk vecdb.h $library
  check guard.awk cluster/server/*.c
  [ -z "$others" ] || check functions.awk limit=tests $others
}

sh $here/tree.sh || status=1

sh $here/sources.sh | diff lib/all.c - >/dev/null ||
  { echo 'lib/all.c: not the list of the files in lib/, layer by layer; run `make sources`'; status=1; }

[ $status -eq 0 ] && echo "tidy: $(echo "$library" "$others" | wc -w) source files keep the house rules"
exit $status
