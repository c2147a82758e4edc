#!/bin/sh
# What the repository holds: at its top only the names of the list below and those with a dot, and no file
# above 4 MiB but the data of the demo. Of what is committed or could be: ignored files do not count.
set -u
cd "$(dirname "$0")/../.." || exit 1
top='Makefile vecdb.h lib gpu cluster examples tests bench README.md LICENSE'
git rev-parse --git-dir >/dev/null 2>&1 || exit 0 # an archive of the source

git -c core.quotePath=off ls-files -co --exclude-standard |
  awk -F / -v top="$top" '
    BEGIN { n = split(top, names, " "); for (i = 1; i <= n; i++) allowed[names[i]] = 1 }
    !($1 in allowed) && $1 !~ /^\./ && !told[$1]++ {
      print $1 ": not one of the names at the top of the repository"
      bad = 1
    }
    END { exit bad }'
status=$?

# shellcheck disable=SC2016
large=$(git ls-files -coz --exclude-standard |
  xargs -0 sh -c 'find "$@" -maxdepth 0 -type f -size +4096k ! -path "examples/data/*"' sh 2>/dev/null)
[ -z "$large" ] || { echo "$large" | sed 's/$/: above 4 MiB/'; status=1; }
exit $status
