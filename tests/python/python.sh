#!/bin/sh
# The Python package without PyPI: its structs beside vecdb.h, and rows and searches beside NumPy.
# Runs with the first Python that has NumPy; skipped, and says so, where none has.
# Usage: python.sh LIBRARY [FOLDER OF THE PACKAGE]
set -eu
for python in python3 /usr/bin/python3 ''; do
  [ -n "$python" ] || { echo 'skipped: no python3 has NumPy (python3-numpy)'; exit 0; }
  if "$python" -c 'import numpy' 2>/dev/null; then break; fi
done
export PYTHONPATH="${2:-examples/python}" VECDB_LIBRARY="$1" PYTHONDONTWRITEBYTECODE=1
"$python" tests/python/layout.py
"$python" tests/python/light.py
