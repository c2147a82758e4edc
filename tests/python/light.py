"""The package without PyPI: rows written, changed, read and found, beside NumPy in double.

What needs packages (pytest, LangChain, hnswlib) is in examples/python/tests. Usage as of layout.py.
"""

import tempfile
from pathlib import Path

import numpy as np

import vecdb
from vecdb import Field, Metric, Optimizer, Part, Push, Type

DIM, ROWS = 16, 400


def nearest(query, vectors, keys, k):
    """The keys of the k nearest by squared distance."""
    distances = ((vectors[keys].astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)
    return np.asarray(keys)[np.argsort(distances, kind="stable")[:k]].tolist()


def make(db, vectors):
    docs = db.create("docs", [
        Field("id", Type.INT64, primary_key=True),
        Field("group", Type.INT32),
        Field("title", Type.VARCHAR, max_length=40, nullable=True),
        Field("embedding", Type.FLOAT_VECTOR, dim=DIM, metric=Metric.L2)])
    docs.insert({"id": np.arange(ROWS), "group": np.arange(ROWS, dtype=np.int32) % 5,
                 "title": [None if i % 10 == 0 else f"t{i}" for i in range(ROWS)],
                 "embedding": vectors})
    return docs


def check_memory(db, docs, vectors):
    """One tenant's rows are warmed up; estimates and the caches' figures are those of the library."""
    assert docs.warm_rows("group == {g}", {"g": 2}) == ROWS // 5
    assert docs.warm_rows() == ROWS
    need = vecdb.index_estimate("AUTO", dim=DIM, rows=100_000, threads=1)
    assert need["type"] == "HNSW"
    assert need["build"] == sum(need[part] for part in ("codes", "graph", "lists", "scratch"))
    assert vecdb.index_estimate("DISK", dim=DIM, rows=1000, threads=1)["build"] < need["build"]
    try:
        vecdb.index_estimate("HNSW(m=1000)", dim=DIM, rows=1)
        raise AssertionError("m is out of range")
    except vecdb.IndexParamError:
        pass
    before = db.memory()
    for _ in range(2):
        docs.search(vectors[0], k=3)
    after = db.memory()
    assert after["cache_hits"] > before["cache_hits"]
    assert after["vector_entries"] == 0 and after["vectors"] > 0  # its tables


def check_rows(docs, vectors):
    """Rows are replaced, changed and deleted; `vectors` follows. Gives the keys that are left."""
    vectors[7] = vectors[8] + 1
    docs.upsert([{"id": 7, "group": 9, "title": "new", "embedding": vectors[7]}])
    assert docs.update({"id": [3, 9999], "title": ["third", "none"]}).tolist() == [True, False]
    assert docs.delete([1, 2, 9999]) == 2
    assert docs.delete(filter="group == {g}", params={"g": 4}) == ROWS // 5
    keys = [i for i in range(ROWS) if i not in (1, 2) and (i % 5 != 4 or i == 7)]
    assert [row["id"] for row in docs.scan(fields=["id"])] == keys and len(docs) == len(keys)
    assert docs.get([7, 3, 1], ["group", "title"]) == [
        {"id": 7, "group": 9, "title": "new"}, {"id": 3, "group": 3, "title": "third"}]
    (row,) = docs.get(20)
    assert row["title"] is None and row["embedding"].tolist() == vectors[20].tolist()
    return keys


def check_searches(docs, vectors, keys):
    queries = np.random.default_rng(2).standard_normal((20, DIM)).astype(np.float32)
    hits = docs.search(queries, 7)
    for query, ids in zip(queries, hits.ids):
        assert ids.tolist() == nearest(query, vectors, keys, 7)
    few = [key for key in keys if key % 5 == 2]
    for query in queries:
        found = docs.search(query, 5, filter="group == {g}", params={"g": 2}, fields=["group"])
        assert found.ids.tolist() == nearest(query, vectors, few, 5)
        assert all(row["group"] == 2 for row in found.rows)
    groups = docs.search_groups(queries[0], "group", k=3, size=2)
    assert groups.hits["id"][0, 0] == nearest(queries[0], vectors, keys, 1)[0]
    ranked = docs.search_hybrid([Part(queries[0], k=9), Part(queries[0], k=9)], k=9)
    assert ranked.ids.ravel().tolist() == nearest(queries[0], vectors, keys, 9)
    walk = docs.iterate(queries[1], batch=6)
    assert next(walk).ids.tolist() + next(walk).ids.tolist() == nearest(queries[1], vectors, keys, 12)
    walk.close()


def check_learning(docs, vectors):
    docs.set_optimizer(Optimizer(rate=0.5))
    before, versions = docs.pull([3])
    gradient = np.full((1, DIM), 0.25, np.float32)
    docs.push([3], gradient, expected=versions)
    after, moved = docs.pull([3])
    assert moved[0] == versions[0] + 1
    np.testing.assert_allclose(after[0], before[0] - 0.5 * gradient[0], rtol=1e-6)
    docs.push([3], before, Push.VALUE)
    assert docs.pull([3])[0].tolist() == before.tolist() == [vectors[3].tolist()]


def check_json(db):
    """Indexes of places in JSON are created, listed, asked and dropped."""
    docs = db.create("places", [
        Field("id", Type.INT64, primary_key=True),
        Field("meta", Type.JSON, json_indexes=(('["n"]', Type.DOUBLE), ("['t']", Type.VARCHAR))),
        Field("v", Type.FLOAT_VECTOR, dim=1)])
    docs.insert([{"id": i, "meta": {"n": i, "t": f"t{i}"}, "v": [1]} for i in range(9)])
    docs.create_json_index("meta", '["b"][0]', Type.BOOL)
    assert docs.count('meta["n"] >= 7 or meta["t"] == "t1"') == 3
    docs.drop_json_index("meta", '["n"]')
    assert docs.fields["meta"].json_indexes == (('["t"]', Type.VARCHAR), ('["b"][0]', Type.BOOL))
    db.drop("places")


def check_reader(path, docs, vectors):
    """A reader beside the writer sees what was written, when it has looked."""
    with vecdb.open(path, follow=True) as reader:
        docs.upsert({"id": [5000], "group": [0], "embedding": vectors[:1] + 100})
        assert reader.refresh()["sequence"] > 0
        assert reader["docs"].search(vectors[0] + 100, 1).ids.tolist() == [5000]
        docs.delete([5000])
        reader.refresh()
        assert reader["docs"].get([5000]) == []


def check_errors(db, docs, vectors):
    for code, call in (
            (vecdb.ExistsError, lambda: docs.insert(
                {"id": [3], "group": [1], "embedding": vectors[:1]})),
            (vecdb.DimensionError, lambda: docs.search(np.zeros(DIM + 1, np.float32))),
            (vecdb.FilterError, lambda: docs.count("group = = 1")),
            (vecdb.NotFoundError, lambda: db.collection("none"))):
        try:
            call()
        except code:
            continue
        raise AssertionError(f"{code.__name__} is not raised")


def main():
    vectors = np.random.default_rng(1).standard_normal((ROWS, DIM)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        with vecdb.open(Path(folder) / "db", durability="off", threads=1, cache_bytes=1 << 20,
                        vector_cache_bytes=1 << 20) as db:
            docs = make(db, vectors)
            check_memory(db, docs, vectors)
            keys = check_rows(docs, vectors)
            check_searches(docs, vectors, keys)
            check_learning(docs, vectors)
            check_json(db)
            check_reader(Path(folder) / "db", docs, vectors)
            check_errors(db, docs, vectors)
            docs.flush()
        with vecdb.open(Path(folder) / "db", read_only=True, must_exist=True) as db:
            check_searches(db["docs"], vectors, keys)
            assert db.check() == []
    print("rows and searches are as NumPy has them")


main()
