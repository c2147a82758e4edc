#!/bin/sh
# ingest.sh - durable ingest of vecdb, the raw append rate and zvec in one run:
#   bench/ingest.sh BASE.npy [ROWS]
# Uses $PYTHON (default python3) for zvec; says so when the package is not there.
set -e
here=$(dirname "$0")
rows=${2:-50000}
"$here/../build/bench/ingest" "$1" --rows "$rows"
if "${PYTHON:-python3}" -c 'import numpy, zvec' 2>/dev/null; then
  "${PYTHON:-python3}" "$here/ingest_zvec.py" "$1" "$rows"
else
  echo "zvec: not measured, the Python packages numpy and zvec are missing"
fi
