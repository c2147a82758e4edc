"""Vectors that learn, and changes of what is there."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import vecdb
from vecdb import Field, Fusion, Optimizer, OptimizerKind, Part, Push, Type


def test_pushes_and_pulls(docs, vectors):
    assert docs.optimizer() is None
    with pytest.raises(vecdb.SchemaError):
        docs.pull([1])
    docs.set_optimizer(Optimizer(OptimizerKind.ADAGRAD, rate=0.5))
    assert docs.optimizer().epsilon == np.float32(1e-8)
    found, versions = docs.pull([3, 9999, 4])
    assert versions.tolist() == [1, 0, 1] and (found[[0, 2]] == vectors[[3, 4]]).all()
    delta = np.ones((2, 16), np.float32)
    assert docs.push([3, 3], delta, Push.DELTA).tolist() == [2, 3]
    assert np.allclose(docs.pull(3)[0][0], vectors[3] + 2)
    assert docs.search(vectors[3] + 2, k=1).ids[0] == 3
    before = docs.pull(4)[0][0]
    assert docs.push(4, np.full(16, 2.0), expected=[1]).tolist() == [2]  # a first step: the rate
    assert np.allclose(docs.pull(4)[0][0], before - 0.5)
    with pytest.raises(vecdb.VersionError) as raised:
        docs.push([3, 4], delta, Push.VALUE, expected=[3, 1])
    assert raised.value.row == 1 and docs.pull(3)[1][0] == 3
    with pytest.raises(vecdb.NotFoundError):
        docs.push(9999, delta[0])
    with pytest.raises(vecdb.DimensionError):
        docs.push(1, [1.0, 2.0])
    with pytest.raises(vecdb.ArgumentError):
        docs.push([1, 2, 3], delta)
    docs.set_optimizer(None)
    assert docs.optimizer() is None


def test_threads_lose_no_push(docs):
    docs.set_optimizer(Optimizer())
    start = docs.pull(7)[0][0]

    def add() -> None:
        for _ in range(50):
            docs.push(7, np.ones(16, np.float32), Push.DELTA)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert docs.pull(7)[1][0] == 201 and np.allclose(docs.pull(7)[0][0], start + 200, atol=1e-3)


def test_update_changes_some_fields(docs, vectors):
    assert docs.update({"id": [1, 9999], "group": [77, 78]}).tolist() == [True, False]
    row = docs.get(1)[0]
    assert row["group"] == 77 and row["title"] == "t1" and (row["embedding"] == vectors[1]).all()
    docs.update([{"id": 9999, "group": 1, "embedding": vectors[0]}], insert=True)
    assert docs.get(9999)[0]["title"] is None


def test_fields_come_and_go(docs):
    docs.add_fields([Field("stars", Type.INT8, default=3), Field("until", Type.INT64, nullable=True)])
    assert docs.count("stars == 3") == 500
    docs.rename_field("stars", "grade")
    docs.drop_field("title")
    assert list(docs.fields) == ["id", "group", "embedding", "grade", "until"]
    docs.update({"id": [1, 2], "until": [1000, 2**50]})
    assert docs.expiry is None
    docs.expire("until", 0.5)
    assert docs.expiry == ("until", 0.5) and len(docs) == 499 and not docs.get(1)
    docs.expire(None)
    assert docs.expiry is None


def test_groups_are_the_nearest_of_each(docs, vectors):
    groups = docs.search_groups(vectors[3], "group", k=3, size=2, fields=["group"])
    assert groups.hits[0, 0]["id"] == 3 and groups.counts.tolist() == [2, 2, 2]
    numbers = [docs.get(int(hit["id"]))[0]["group"] for hit in groups.hits[:, 0]]
    assert len(set(numbers)) == 3 and groups.rows[0]["group"] == 3
    many = docs.search_groups(vectors[:4], "group", k=2, filter="id < 100")
    assert many.hits.shape == (4, 2, 1) and many.hits[2, 0, 0]["id"] == 2


def test_hybrid_ranks_out_of_several_searches(docs, vectors):
    parts = [Part(vectors[3], 20), Part(vectors[4], 20, weight=3, how={"filter": "id != 4"})]
    hits = docs.search_hybrid(parts, k=5, fields=["title"])
    assert len(hits.ids) == 5 and 4 not in hits.ids[:1] and len(hits.rows) == 5
    scores = docs.search_hybrid([Part(vectors[3], 5, weight=2)], k=5, fusion=Fusion.SCORES)
    plain = docs.search(vectors[3], k=500)
    assert scores.scores.max() == 2 * plain.scores[4]
    with pytest.raises(vecdb.ArgumentError):
        docs.search_hybrid([])
