"""Bad input raises the class of its code, says where, and changes nothing."""

from __future__ import annotations

import subprocess
import os
from pathlib import Path

import numpy as np
import pytest

import vecdb
from vecdb import Field, Type, _c, errors

HEADER = Path(__file__).resolve().parents[3] / "vecdb.h"


def test_every_code_has_a_class():
    names = {code: _c.lib.vecdb_status_name(code).decode() for code in range(1, 100)}
    unknown = _c.lib.vecdb_status_name(1000).decode()
    assert {c for c, name in names.items() if name != unknown} == set(errors._classes)


def test_structs_are_those_of_the_header(tmp_path):
    structs = {"error": _c.Error, "control": _c.Control, "options": _c.Options,
               "index_params": _c.IndexParams, "value": _c.Value, "string": _c.String,
               "sparse": _c.Sparse, "field": _c.Field, "schema": _c.Schema,
               "column": _c.Column, "batch": _c.Batch, "keys": _c.Keys, "param": _c.Param,
               "filter": _c.Filter, "query_params": _c.QueryParams,
               "search_params": _c.SearchParams, "search_info": _c.SearchInfo,
               "stats": _c.Stats}
    lines, wanted = [], []
    for name, struct in structs.items():
        for member, *_ in struct._fields_:
            lines.append(f"offsetof(vecdb_{name}, {'as' if member == 'bits' else member})")
            wanted.append(getattr(struct, member).offset)
        lines.append(f"sizeof(vecdb_{name})")
        wanted.append(_c.ctypes.sizeof(struct))
    source = tmp_path / "layout.c"
    source.write_text(f'#include <stdio.h>\n#include "{HEADER}"\nint main(void) {{\n' + "".join(
        f'printf("%zu\\n", {line});\n' for line in lines) + "}\n")
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-o", tmp_path / "layout", source], check=True)
    out = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True)
    assert list(map(int, out.stdout.split())) == wanted


BATCHES = [
    ({"id": [600, 5], "group": [1, 1]}, errors.ExistsError, 1, None),
    ({"id": [600, 601], "group": [1, 1], "nope": [1, 2]}, errors.UnknownFieldError, None, "nope"),
    ({"id": [600, 601]}, errors.MissingFieldError, None, "group"),
    ({"id": [600, None], "group": [1, 1]}, errors.NullValueError, 1, "id"),
    ({"id": [600, 601], "group": [1, 2**40]}, errors.RangeError, 1, "group"),
    ({"id": [600, 601], "group": [1, 2**70]}, errors.TypeMismatchError, None, "group"),
    ({"id": [600, 601], "group": ["a", "b"]}, errors.TypeMismatchError, None, "group"),
    ({"id": [600, 601], "group": [0.5, 1]}, errors.TypeMismatchError, None, "group"),
    ({"id": [600, 601], "group": [1]}, errors.ArgumentError, None, "group"),
    ({"id": [600, 601], "group": 3}, errors.TypeMismatchError, None, "group"),
    ({"id": [600, 601], "group": [1, 1], "title": ["a", 5]}, errors.TypeMismatchError, 1,
     "title"),
    ({"id": [600, 601], "group": [1, 1], "title": ["a", "b" * 41]}, errors.TooLongError, 1,
     "title"),
    ({"id": [600, 601], "group": [1, 1], "title": [b"\xff", "b"]}, errors.Utf8Error, 0, "title"),
    ({"id": [600, 601], "group": [1, 1], "embedding": np.ones((2, 15))}, errors.DimensionError,
     None, "embedding"),
    ({"id": [600, 601], "group": [1, 1], "embedding": np.ones(2)}, errors.DimensionError,
     None, "embedding"),
    ({"id": [600, 601], "group": [1, 1], "embedding": [[1] * 16, [np.nan] * 16]},
     errors.NotFiniteError, 1, "embedding"),
    ({"id": [600, 601], "group": [1, 1], "embedding": [[1] * 16, [1] * 3]},
     errors.TypeMismatchError, None, "embedding"),
    ({}, errors.ArgumentError, None, None)]


@pytest.mark.parametrize("batch, kind, row, field", BATCHES)
def test_bad_batches(docs, vectors, batch, kind, row, field):
    if batch and "embedding" not in batch:
        batch = {**batch, "embedding": vectors[:2]}
    with pytest.raises(kind) as raised:
        docs.insert(batch)
    assert (raised.value.row, raised.value.field if field else None) == (row, field)
    assert len(docs) == 500 and not docs.get([600, 601])


@pytest.mark.parametrize("how, kind", [
    ({"k": 0}, errors.KError), ({"k": 100000}, errors.KError), ({"k": -1}, errors.KError),
    ({"filter": "group =="}, errors.FilterError),
    ({"filter": "nope == 1"}, errors.UnknownFieldError),
    ({"filter": "group == {g}"}, errors.FilterParamError),
    ({"filter": "group == {g}", "params": {"g": "text"}}, errors.FilterParamError),
    ({"filter": "group == {g}", "params": {"g": object()}}, errors.TypeMismatchError),
    ({"filter": "group == {g}", "params": {"g": 2**64}}, errors.TypeMismatchError),
    ({"field": "title"}, errors.UnknownFieldError), ({"field": "x"}, errors.UnknownFieldError),
    ({"fields": ["x"]}, errors.UnknownFieldError), ({"fields": "id"}, errors.ArgumentError),
    ({"ef": -1}, errors.ArgumentError), ({"recall": 2.0}, errors.IndexParamError)])
def test_bad_searches(docs, vectors, how, kind):
    with pytest.raises(kind):
        docs.search(vectors[0], **how)


def test_bad_queries(docs, vectors):
    for query in (vectors[0, :5], np.float32(1), np.empty((0, 16), np.float32), "text", [None]):
        with pytest.raises(vecdb.VecdbError):
            docs.search(query)
    with pytest.raises(errors.NotFiniteError) as raised:
        docs.search([[1] * 16, [np.inf] * 16])
    assert raised.value.row == 1
    with pytest.raises(errors.FilterError) as raised:
        docs.count("id < 3 and and")
    assert raised.value.position == 11


def test_bad_keys(docs):
    for keys in ([1, "a"], [1.5], [True], ["a"], [2**64]):
        with pytest.raises(vecdb.VecdbError):
            docs.get(keys)
    with pytest.raises(errors.ArgumentError):
        docs.delete()


def test_bad_schemas(db):
    key = Field("id", Type.INT64, primary_key=True)
    for fields, kind in (([], errors.SchemaError), ([Field("a", Type.INT64)], errors.SchemaError),
                         ([key, Field("a b", Type.BOOL)], errors.InvalidNameError),
                         ([key, Field("v", Type.FLOAT_VECTOR, dim=4, index="HNSW(m=1000)")],
                          errors.IndexParamError),
                         ([key, Field("v", Type.FLOAT_VECTOR, dim=4, index="TREE")],
                          errors.OptionError)):
        with pytest.raises(kind):
            db.create("bad", fields)
    assert db.list() == []


def test_closed_and_dropped(db, docs, vectors):
    walk = docs.iterate(vectors[0])
    walk.close()
    with pytest.raises(errors.ClosedError):
        next(walk)
    other = db["docs"]
    other.close()
    with pytest.raises(errors.ClosedError):
        other.count()
    db.drop("docs")
    with pytest.raises(errors.ClosedError):
        docs.count()
    with pytest.raises(errors.NotFoundError):
        db["docs"]
    db.close()
    with pytest.raises(errors.ClosedError):
        db.list()
