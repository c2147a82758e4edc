"""Searches beside brute force in NumPy, in double."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import vecdb
from vecdb import Field, Metric, Plan, Type


def distances(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return ((vectors.astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)


def nearest(query: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(distances(query, vectors), kind="stable")[:k]


def test_one_query(docs, vectors):
    hits = docs.search(vectors[3] + 0.01, 10)
    assert hits.ids.tolist() == nearest(vectors[3] + 0.01, vectors, 10).tolist()
    wanted = np.sort(distances(vectors[3] + 0.01, vectors))[:10]
    np.testing.assert_allclose(hits.scores, wanted, rtol=1e-4, atol=1e-5)


def test_many_queries(docs, vectors):
    queries = vectors[:20] * 0.5
    hits = docs.search(queries, 7, threads=2, plan=Plan.EXACT)
    assert hits.ids.shape == (20, 7) and hits.counts.tolist() == [7] * 20
    for query, ids in zip(queries, hits.ids):
        assert ids.tolist() == nearest(query, vectors, 7).tolist()


def test_searcher(db, docs, vectors):
    find = docs.searcher(6, filter="group != {g}", params={"g": 0}, plan=Plan.EXACT)
    for query in (vectors[3], vectors[8].astype(np.float64), vectors[9].tolist(),
                  np.repeat(vectors[7], 2)[::2]):
        wanted = docs.search(query, 6, filter="group != 0")
        assert find(query).tolist() == wanted.hits.tolist()
    assert len(docs.searcher(600)(vectors[0])) == 500
    with pytest.raises(vecdb.NotFiniteError):
        find(np.full(16, np.nan, np.float32))
    for bad in (vectors[0, :5], vectors[:2]):
        with pytest.raises(vecdb.DimensionError):
            find(bad)
    db.close()
    with pytest.raises(vecdb.ClosedError):
        find(vectors[0])


def test_more_than_there_are(docs, vectors):
    assert len(docs.search(vectors[0], 600)) == 500
    hits = docs.search(vectors[:2], 600)
    assert hits.counts.tolist() == [500, 500]
    assert (hits.ids[:, 500:] == -1).all() and np.isnan(hits.scores[:, 500:]).all()


def test_filter_with_parameters(docs, vectors):
    allowed = np.flatnonzero(np.isin(np.arange(500) % 5, [1, 3]) & (np.arange(500) < 400))
    hits = docs.search(vectors[9], 8, filter="group in {groups} and id < {limit}",
                       params={"groups": [1, 3], "limit": 400})
    assert hits.ids.tolist() == allowed[nearest(vectors[9], vectors[allowed], 8)].tolist()


def test_fields_come_with_hits(docs, vectors):
    rows = docs.search(vectors[:2], 3, fields=["title", "embedding"])
    for hit, row in zip(rows.hits.ravel(), [rows.rows[r] for r in rows.hits["row"].ravel()]):
        assert row["id"] == hit["id"]
        assert row["title"] == (None if hit["id"] % 10 == 0 else f"t{hit['id']}")
        assert (row["embedding"] == vectors[hit["id"]]).all()


def test_hits_go_to_the_callers_array(docs, vectors):
    out = np.empty((4, 5), vecdb.HIT)
    hits = docs.search(vectors[:4], 5, out=out)
    assert np.shares_memory(hits.ids, out) and out["id"][:, 0].tolist() == [0, 1, 2, 3]
    for bad in (np.empty((4, 4), vecdb.HIT), np.empty((4, 5)),
                np.empty((4, 10), vecdb.HIT)[:, ::2]):
        with pytest.raises(vecdb.ArgumentError):
            docs.search(vectors[:4], 5, out=bad)


def test_rows_with_a_stride_are_not_copied(db, vectors):
    records = np.zeros(500, [("id", np.int64), ("tag", np.int8), ("pad", "V7"),
                             ("v", np.float32, 16)])
    records["id"], records["tag"], records["v"] = np.arange(500), np.arange(500) % 3, vectors
    collection = db.create("strided", [
        Field("id", Type.INT64, primary_key=True), Field("tag", Type.INT8),
        Field("v", Type.FLOAT_VECTOR, dim=16, metric=Metric.L2)])
    columns = {name: records[name] for name in ("id", "tag", "v")}
    batch = vecdb.columns.Batch(collection.fields, columns)
    for column, name in zip(batch.columns, columns):
        assert column.data == records[name].ctypes.data and column.stride == records.itemsize
    collection.insert(columns)
    assert collection.search(vectors[::-50], 1).ids[:, 0].tolist() == list(range(499, -1, -50))
    assert collection.count("tag == 2") == 166


def test_range(docs, vectors):
    away = distances(vectors[4], vectors)
    radius = float(np.sort(away)[30]) + 1e-3
    assert set(docs.search_range(vectors[4], radius).ids) == set(np.flatnonzero(away <= radius))


def test_iterator_gives_every_row_once(docs, vectors):
    with docs.iterate(vectors[1], batch=64, filter="group == 2") as walk:
        ids = np.concatenate([hits.ids for hits in walk])
    allowed = np.arange(2, 500, 5)
    assert ids.tolist() == allowed[nearest(vectors[1], vectors[allowed], 100)].tolist()


def test_with_an_index(docs, vectors):
    docs.flush()
    docs.create_index("HNSW(m=8, ef_construction=60)")
    assert docs.stats()["segments_indexed"] == 1
    hits = docs.search(vectors, 1, ef=64)
    assert (hits.ids[:, 0] == np.arange(500)).mean() > 0.99
    docs.drop_index()
    hits = docs.search(vectors, 1, info=True)
    assert (hits.ids[:, 0] == np.arange(500)).all() and hits.info["distances"] == 500 * 500


def test_explain(docs, vectors):
    text = docs.explain(vectors[0], 5, filter="group == {g}", params={"g": 1})
    assert "embedding" in text and "group" in text


@pytest.mark.parametrize("type, metric, make", [
    (Type.FLOAT16_VECTOR, Metric.L2, lambda v: v.astype(np.float16)),
    (Type.BFLOAT16_VECTOR, Metric.L2, lambda v: v),
    (Type.INT8_VECTOR, Metric.L2, lambda v: (v * 30).clip(-127, 127).astype(np.int8)),
    (Type.BINARY_VECTOR, Metric.HAMMING, lambda v: np.packbits(v > 0, axis=1,
                                                               bitorder="little"))])
def test_other_vectors(db, type, metric, make):
    dim = 64
    given = make(np.random.default_rng(3).standard_normal((50, dim)).astype(np.float32))
    collection = db.create("other", [Field("id", Type.INT64, primary_key=True),
                                     Field("v", type, dim=dim, metric=metric)])
    collection.insert({"id": range(50), "v": given})
    hits = collection.search(given, 1)
    assert hits.ids[:, 0].tolist() == list(range(50))
    assert len(collection.get(3)[0]["v"]) == given.shape[1]


def test_sparse_vectors(db):
    collection = db.create("sparse", [Field("id", Type.INT64, primary_key=True),
                                      Field("v", Type.SPARSE_VECTOR)])
    collection.insert({"id": [1, 2, 3], "v": [{7: 1.0, 2: 0.5}, {7: 2.0}, {9: 1.0}]})
    hits = collection.search({7: 1.0}, 5)
    assert hits.ids.tolist() == [2, 1] and hits.scores.tolist() == [2.0, 1.0]
    assert collection.get(1)[0]["v"].tolist() == [(2, 0.5), (7, 1.0)]


def test_searches_run_while_others_write(docs, vectors):
    """Threads share a collection; what each finds is right at any time."""
    wrong = []

    def look(start: int) -> None:
        for i in range(start, 500, 4):
            if docs.search(vectors[i], 1).ids.tolist() != [i]:
                wrong.append(i)

    threads = [threading.Thread(target=look, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for i in range(50):
        docs.upsert({"id": [1000 + i], "group": [9], "embedding": vectors[:1] + 100 + i})
    for thread in threads:
        thread.join()
    assert not wrong and len(docs) == 550


def test_sparse_counts(db):
    collection = db.create("sparse", [Field("id", Type.INT64, primary_key=True),
                                      Field("v", Type.SPARSE_VECTOR)])
    collection.insert({"id": [1, 2, 3], "v": [{7: 1.0, 2: 0.5}, {7: 2.0}, {9: 1.0}]})
    counts, rows = collection.sparse_counts([7, 9, 4])
    assert counts.tolist() == [2, 1, 0] and rows == 3
    counts, rows = collection.sparse_counts(np.array([7, 9]), filter="id > {n}", params={"n": 1})
    assert counts.tolist() == [1, 1] and rows == 2


def test_indexes_say_what_they_find(db, vectors):
    collection = db.create("indexed", [
        Field("id", Type.INT64, primary_key=True),
        Field("v", Type.FLOAT_VECTOR, dim=16, metric=Metric.L2, index="HNSW(m=8)")])
    many = np.random.default_rng(5).standard_normal((5000, 16)).astype(np.float32)
    collection.insert({"id": np.arange(5000), "v": many})
    assert collection.index_list() == []
    collection.compact()
    (index,) = collection.index_list()
    assert index["index"].startswith("HNSW(m=8") and index["rows"] == 5000
    assert index["effort"] == "ef" and 0 < index["bytes_memory"] <= index["bytes_file"]
    efforts = [point["effort"] for point in index["points"]]
    assert efforts == sorted(efforts) and 0.9 < index["points"][-1]["recall_10"] <= 1
