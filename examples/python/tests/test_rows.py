"""Rows in and out: keys, values of every type, filters, pages."""

from __future__ import annotations

import json
import random
import time
import uuid

import numpy as np
import pytest

import vecdb
from vecdb import Field, Metric, Type


def test_get_keeps_the_order_of_keys(docs):
    rows = docs.get([7, 3, 9999, 5], ["group"])
    assert rows == [{"id": 7, "group": 2}, {"id": 3, "group": 3}, {"id": 5, "group": 0}]
    assert docs.get(8, [])[0] == {"id": 8}


def test_computed_defaults(db):
    made = db.create("made", [Field("id", Type.INT64, primary_key=True),
                              Field("at", Type.INT64, default_now=True),
                              Field("u", Type.VARCHAR, max_length=36, default_uuid=True),
                              Field("v", Type.FLOAT_VECTOR, dim=1, metric=Metric.L2)])
    assert made.fields["at"].default_now and made.fields["u"].default_uuid
    assert not made.fields["id"].default_now
    before = time.time_ns() // 1_000_000
    made.insert([{"id": 1, "v": [1]}, {"id": 2, "v": [2], "at": 7, "u": "mine"}])
    made.insert({"id": [3], "v": [[3]]})
    after = time.time_ns() // 1_000_000
    one, two, three = made.get([1, 2, 3], ["at", "u"])
    assert before <= one["at"] <= three["at"] <= after and two["at"] == 7 and two["u"] == "mine"
    assert uuid.UUID(one["u"]).version == uuid.UUID(three["u"]).version == 7
    assert one["u"] != three["u"]


def test_upsert_replaces_and_delete_removes(docs, vectors):
    docs.upsert([{"id": 1, "group": 77, "title": "new", "embedding": vectors[2]}])
    assert docs.get(1)[0]["title"] == "new" and len(docs) == 500
    assert docs.delete([1, 2, 2, 12345]) == 2 and len(docs) == 498
    assert docs.delete(filter="group == {g}", params={"g": 3}) == 100
    assert docs.count("group == 3") == 0 and len(docs) == 398


def test_query_count_and_scan(docs):
    assert [row["id"] for row in docs.query("group == 4", fields=[], limit=3)] == [4, 9, 14]
    assert [row["id"] for row in docs.query(fields=[], limit=2, offset=5)] == [5, 6]
    assert [row["id"] for row in docs.query(fields=[], limit=2, after=100)] == [101, 102]
    assert docs.count("title is null") == 50
    ids = [row["id"] for row in docs.scan("id % 2 == {r}", {"r": 1}, fields=[])]
    assert ids == list(range(1, 500, 2))


def test_scan_reads_more_than_a_page(db):
    collection = db.create("many", [Field("id", Type.VARCHAR, max_length=8, primary_key=True),
                                    Field("v", Type.FLOAT_VECTOR, dim=2, metric=Metric.L2)])
    keys = [f"{i:05}" for i in range(3000)]
    assert collection.insert({"id": keys, "v": np.ones((3000, 2), np.float32)}) is None
    assert [row["id"] for row in collection.scan(fields=[])] == keys
    hits = collection.search([1, 1], 3)
    assert [row["id"] for row in hits.rows] == keys[:3]
    assert collection.delete(["00001"]) == 1


def test_every_scalar_type_comes_back(db):
    rows = [{"id": 1, "flag": True, "i8": -128, "i16": 32767, "i32": -2**31, "i64": 2**63 - 1,
             "f": 0.5, "d": 1 / 3, "text": "süß", "numbers": [1, 2], "texts": ["a", "", "ö"],
             "v": np.array([1, 0], np.float32)},
            {"id": 2, "flag": False, "i8": 127, "i16": -1, "i32": 0, "i64": -2**63, "f": -2.0,
             "d": 0.0, "text": "", "numbers": [], "texts": [],
             "v": np.array([0, 1], np.float32)}]
    collection = db.create("all", [
        Field("id", Type.INT64, primary_key=True), Field("flag", Type.BOOL),
        Field("i8", Type.INT8), Field("i16", Type.INT16), Field("i32", Type.INT32),
        Field("i64", Type.INT64), Field("f", Type.FLOAT), Field("d", Type.DOUBLE),
        Field("text", Type.VARCHAR), Field("numbers", Type.ARRAY, element_type=Type.INT32),
        Field("texts", Type.ARRAY, element_type=Type.VARCHAR),
        Field("v", Type.FLOAT_VECTOR, dim=2)])
    collection.insert(rows)
    for given, found in zip(rows, collection.get([1, 2])):
        assert (given.pop("v") == found.pop("v")).all()
        assert given == found


def test_defaults_and_auto_ids(db):
    collection = db.create("auto", [
        Field("id", Type.INT64, primary_key=True, auto_id=True),
        Field("n", Type.INT32, default=5), Field("x", Type.DOUBLE, default=1),
        Field("s", Type.VARCHAR, default="none", nullable=True),
        Field("v", Type.FLOAT_VECTOR, dim=2, index="HNSW(m=24)")], description="numbered")
    assert collection.insert({"v": np.eye(2, dtype=np.float32)}).tolist() == [1, 2]
    assert {**collection.get(2)[0], "v": 0} == {"id": 2, "n": 5, "x": 1.0, "s": "none", "v": 0}
    assert collection.description == "numbered"
    fields = db["auto"].fields
    assert (fields["n"].default, fields["x"].default, fields["s"].default) == (5, 1.0, "none")
    assert fields["v"].index == "HNSW(m=24)" and fields["id"].auto_id and fields["s"].nullable


def test_conversions_are_checked(docs, vectors):
    ok = {"id": [900], "group": [1], "embedding": vectors[:1].astype(np.float64)}
    docs.insert(ok)
    assert (docs.get(900)[0]["embedding"] == vectors[0]).all()
    docs.insert({"id": np.array([901], np.uint16), "group": np.array([2], np.int64),
                 "embedding": np.asfortranarray(vectors[1:2])})
    assert docs.get(901)[0]["group"] == 2
    docs.insert({"id": [902, 903], "group": [0, 0], "embedding": vectors[1::-1]})
    assert (docs.get(902)[0]["embedding"] == vectors[1]).all()


def random_json(rng, depth):
    """A value, and a text of it that Python reads as that value."""
    kind = rng.randrange(8 if depth else 6)
    space = lambda: rng.choice(["", " ", "\n\t"])
    if kind >= 6:
        parts = [random_json(rng, depth - 1) for _ in range(rng.randrange(5))]
        if kind == 6:
            inner = f"{space()},{space()}".join(text for _, text in parts)
            return [value for value, _ in parts], f"[{space()}{inner}{space()}]"
        members = [(random_text(rng), value, text) for value, text in parts]
        inner = ",".join(f"{space()}{json.dumps(key, ensure_ascii=rng.random() < 0.5)}{space()}:"
                         f"{text}" for key, _, text in members)
        return {key: value for key, value, _ in members}, f"{{{inner}{space()}}}"
    value = [None, True, rng.randrange(-2**70, 2**70), rng.random() * 10**rng.randrange(-30, 30),
             random_text(rng), False][kind]
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    return value, space() + text + space()


def random_text(rng):
    return "".join(rng.choice("ab/\"\\\n\x00\x1f\x7fé€😀") for _ in range(rng.randrange(4)))


def test_json_is_what_python_reads(db):
    """Generated texts, with keys that come twice, read by the library and by Python's json."""
    collection = db.create("j", [Field("id", Type.INT64, primary_key=True),
                                 Field("j", Type.JSON, nullable=True),
                                 Field("v", Type.FLOAT_VECTOR, dim=1, metric=Metric.L2)])
    rng = random.Random(5)
    values, texts = zip(*(random_json(rng, 4) for _ in range(2000)))
    assert [json.loads(text) for text in texts] == list(values)
    vectors = np.ones((2000, 1), np.float32)
    collection.insert({"id": np.arange(2000), "v": vectors,
                       "j": [text.encode() for text in texts]})
    assert [row["j"] for row in collection.scan(fields=["j"])] == list(values)
    collection.upsert({"id": np.arange(2000), "v": vectors, "j": list(values)})
    assert [row["j"] for row in collection.scan(fields=["j"])] == list(values)


def test_json_fields(db):
    collection = db.create("j", [Field("id", Type.INT64, primary_key=True),
                                 Field("meta", Type.JSON, default={"tags": []}),
                                 Field("v", Type.FLOAT_VECTOR, dim=1, metric=Metric.L2)])
    assert collection.fields["meta"].default == {"tags": []}
    vectors = np.ones((3, 1), np.float32)
    collection.insert({"id": [1, 2, 3], "v": vectors, "meta": [
        {"tags": ["x", "y"], "n": {"deep": np.int32(5)}}, {"n": 2.5, "s": "ü"}, [1, None]]})
    collection.insert({"id": [4], "v": vectors[:1]})
    assert collection.get(4)[0]["meta"] == {"tags": []}
    assert collection.count('meta["n"]["deep"] > {x}', {"x": 4.5}) == 1
    assert collection.count('json_contains(meta["tags"], {t})', {"t": "y"}) == 1
    assert collection.count("exists meta['tags']") == 2
    assert collection.query('meta["s"] == "ü"', fields=["meta"])[0]["meta"]["n"] == 2.5
    with pytest.raises(vecdb.TypeMismatchError) as caught:
        collection.upsert({"id": [1, 2], "v": vectors[:2], "meta": [1, {"a": {1, 2}}]})
    assert (caught.value.field, caught.value.row) == ("meta", 1)
    with pytest.raises(vecdb.JsonError) as caught:
        collection.upsert({"id": [1], "v": vectors[:1], "meta": [b"{1}"]})
    assert (caught.value.field, caught.value.row) == ("meta", 0)
