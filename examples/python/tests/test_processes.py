"""Readers in other processes, and encrypted databases."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vecdb
from vecdb import Field, Metric, Type

FIELDS = [Field("id", Type.INT64, primary_key=True),
          Field("v", Type.FLOAT_VECTOR, dim=4, metric=Metric.L2)]
# A reader that answers each line, a key, with the key that it finds nearest to it.
READER = """
import sys
import vecdb
with vecdb.open(sys.argv[1], follow=True) as db:
    for line in sys.stdin:
        db.refresh()
        print(db["docs"].search([float(line)] * 4, 1).ids.tolist(), flush=True)
"""


def rows(*keys: int) -> "dict[str, np.ndarray]":
    return {"id": np.array(keys), "v": np.array(keys, np.float32)[:, None].repeat(4, 1)}


def test_a_reader_in_another_process_follows(tmp_path):
    """What a write that returned brought is found after the next refresh, also after a flush; a
    reader that is killed is missed by nobody."""
    with vecdb.open(tmp_path / "db") as db:
        docs = db.create("docs", FIELDS)
        reader = subprocess.Popen([sys.executable, "-c", READER, str(tmp_path / "db")], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for key in range(0, 60, 10):
            docs.insert(rows(key))
            if key == 30:
                docs.compact()
            print(key + 1, file=reader.stdin, flush=True)
            assert reader.stdout.readline() == f"[{key}]\n"
        reader.kill()
        reader.communicate()
        docs.insert(rows(60))
        assert len(docs) == 7
        with pytest.raises(vecdb.ArgumentError):
            db.refresh()


def test_refresh_says_what_is_known(tmp_path):
    with vecdb.open(tmp_path / "db") as db, db.create("docs", FIELDS) as docs:
        docs.insert(rows(1))
        with vecdb.open(tmp_path / "db", read_only=True) as reader:
            docs.insert(rows(2))
            assert len(reader["docs"]) == 1
            assert reader.refresh(max_age=float("inf"))["records"] == 0
            info = reader.refresh()
            assert len(reader["docs"]) == 2 and info["records"] >= 1 and info["sequence"] > 0
            with pytest.raises(vecdb.ArgumentError):
                reader.refresh(-1)


# What is done with an encrypted database, by a process whose library has encryption.
ENCRYPTED = """
import os, sys
import numpy as np
import vecdb
from vecdb import Field, Type
keys, asked, folder = {"a": b"A" * 32, "b": b"B" * 32}, [], sys.argv[1]
def key(name):
    asked.append(name)
    return keys[name]
with vecdb.open(folder, key=key, key_id="a") as db:
    docs = db.create("docs", [Field("id", Type.INT64, primary_key=True),
                              Field("t", Type.VARCHAR), Field("v", Type.FLOAT_VECTOR, dim=2)])
    docs.insert({"id": [1], "t": ["plainly secret"], "v": np.ones((1, 2), np.float32)})
    docs.flush()
    db.backup(folder + ".copy")
    db.rekey("b", new_data_key=True)
    docs.insert({"id": [2], "t": ["plainly secret"], "v": np.ones((1, 2), np.float32)})
for root in (folder, folder + ".copy"):
    for name in os.listdir(root):
        assert b"plainly" not in open(os.path.join(root, name), "rb").read(), name
with vecdb.open(folder, key=keys["b"]) as db:
    assert [row["t"] for row in db["docs"].query()] == ["plainly secret"] * 2
vecdb.restore(folder + ".copy", folder + ".back", key=key)
assert asked[0] == "a" and set(asked) == {"a", "b"} and asked[-1] == "a", asked
for wrong in (keys["a"], None, lambda name: keys["none"], lambda name: b"short"):
    try:
        vecdb.open(folder, key=wrong)
    except vecdb.EncryptionKeyError as error:
        assert (error.__cause__ is not None) == callable(wrong)
        continue
    raise AssertionError(wrong)
print("as it should be")
"""


def test_encryption(tmp_path):
    """By a library with encryption, linked here: that of the wheel has it if it was asked for."""
    with pytest.raises(vecdb.ArgumentError):
        vecdb.open(tmp_path / "db", key=b"short")
    build, library = Path(__file__).parents[3] / "build", tmp_path / "libvecdb.so"
    subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-shared", "-o", str(library),
                    str(build / "release" / "with-openssl.o"), "-Wl,--whole-archive,-z,muldefs",
                    str(build / "libvecdb.a"), "-Wl,--no-whole-archive", "-lcrypto", "-lm",
                    "-pthread"], check=True)
    run = subprocess.run([sys.executable, "-c", ENCRYPTED, str(tmp_path / "db")], text=True,
                         env={**os.environ, "VECDB_LIBRARY": str(library)},
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.stdout == "as it should be\n", run.stdout
