"""The package's annotations, by mypy: of the package itself, and of a program that uses it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vecdb

pytest.importorskip("mypy")
PROGRAM = """
from pathlib import Path

import numpy as np
import vecdb
from vecdb import Field, Type

with vecdb.open(Path("db"), durability="off", key=lambda name: bytes(32)) as db:
    docs = db.create("docs", [Field("id", Type.INT64, primary_key=True),
                              Field("v", Type.FLOAT_VECTOR, dim=4)])
    docs.insert({"id": [1], "v": np.zeros((1, 4), np.float32)})
    names: list[str] = db.list()
    faults: list[str] = db.check(progress=lambda phase, done, total: None)
    hits = docs.search(np.zeros(4, np.float32), k=3, filter="id > {n}", params={"n": 1})
    print(hits.ids.tolist(), len(hits), hits.rows or [], names, faults)
"""
MISTAKES = """
import vecdb

db = vecdb.open("db", durability="sometimes", cache_bytes=1)
db.check(progress=3)
db["docs"].query(limit="ten")
vecdb.Field("id", 5)
print(db.backup("copy").size)
vecdb.open("db", cach_bytes=1)
"""


def checked(folder, *what: str) -> "tuple[int, str]":
    run = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir",
                          str(folder / "cache"), *what], cwd=folder, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         env={**os.environ, "PYTHONPATH": ""})
    return run.returncode, run.stdout


def test_annotations(tmp_path):
    source = shutil.copytree(Path(vecdb.__file__).parent, tmp_path / "source" / "vecdb")
    code, said = checked(source.parent, "vecdb")
    assert code == 0, said
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    said = checked(tmp_path, "program.py", "mistakes.py")[1]  # over the installed package
    wrong = {tuple(line.split(":")[:2]) for line in said.splitlines() if ": error:" in line}
    assert wrong == {("mistakes.py", str(line)) for line in (4, 5, 6, 7, 8, 9)}, said
