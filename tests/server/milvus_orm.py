"""pymilvus's ORM style, as programs of Milvus 2.3 and 2.4 are written, against a running vecdbd.

Answers are held against distances computed here with numpy in double.
"""
import logging
import sys
import warnings

import numpy as np
from pymilvus import (Collection, CollectionSchema, DataType, FieldSchema, MilvusException,
                      connections, utility)

ROWS, DIM, QUERIES = 3000, 32, 5
CATEGORIES = ["news", "sport", "science", "größe"]


def make_rows(seed):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((ROWS, DIM)).astype(np.float32)
    tenants = rng.integers(0, 5, ROWS)
    return list(range(ROWS)), vectors, tenants.tolist(), [CATEGORIES[i % 4] for i in range(ROWS)]


def scores(metric, vectors, query):
    v, q = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "L2":
        return ((v - q) ** 2).sum(axis=1)
    dots = v @ q
    if metric == "IP":
        return dots
    return dots / (np.linalg.norm(v, axis=1) * np.linalg.norm(q))


def truth(metric, vectors, query, keep, k):
    s = scores(metric, vectors, query)
    order = np.argsort(s if metric == "L2" else -s, kind="stable")
    return [int(i) for i in order if keep[i]][:k], s


def fails(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MilvusException as e:
        assert e.code == code, (e.code, code, e.message)
        return e.message
    raise AssertionError(f"{call} did not fail")


def make_collection(name):
    schema = CollectionSchema([
        FieldSchema("doc_id", DataType.INT64, is_primary=True, auto_id=False),
        FieldSchema("embedding", DataType.FLOAT_VECTOR, dim=DIM),
        FieldSchema("tenant_id", DataType.INT64),
        FieldSchema("category", DataType.VARCHAR, max_length=64),
    ], description="documents")
    return Collection(name, schema, consistency_level="Strong")


def check_index(index_type, metric, params, search, least):
    """Everything a program does with one collection; `least` is the recall it must reach."""
    name = f"orm_{index_type}_{metric}".lower()
    if utility.has_collection(name):
        utility.drop_collection(name)
    assert not utility.has_collection(name)
    collection = make_collection(name)
    assert utility.has_collection(name)
    rows = make_rows(7)
    ids, vectors, tenants, categories = rows
    half = ROWS // 2
    for part in (slice(0, half), slice(half, ROWS)):
        result = collection.insert([ids[part], vectors[part].tolist(), tenants[part],
                                    categories[part]])
        assert result.insert_count == half and result.primary_keys == ids[part]
    collection.flush()
    assert collection.num_entities == ROWS
    collection.release()
    fails(101, collection.search, [vectors[0].tolist()], "embedding", {"metric_type": metric}, 3)
    collection.create_index("embedding", {"index_type": index_type, "metric_type": metric,
                                          "params": params})
    assert collection.index().params["index_type"] == index_type
    assert collection.index().params["metric_type"] == metric
    collection.load()
    collection.compact()
    rng = np.random.default_rng(8)
    found = 0
    for _ in range(QUERIES):
        query = rng.standard_normal(DIM).astype(np.float32)
        keep = [t == 3 and c != "sport" for t, c in zip(tenants, categories)]
        want, exact = truth(metric, vectors, query, keep, 10)
        hits = collection.search(
            data=[query.tolist()], anns_field="embedding",
            param={"metric_type": metric, "params": search}, limit=10,
            expr='tenant_id == 3 and category in ["news", "science", "größe"]',
            output_fields=["doc_id", "tenant_id", "category"], consistency_level="Strong")[0]
        assert len(hits) == 10
        for hit in hits:
            assert abs(hit.distance - exact[hit.id]) < 1e-3 * max(1, abs(exact[hit.id]))
            assert hit.entity.get("doc_id") == hit.id
            assert hit.entity.get("tenant_id") == 3
            assert hit.entity.get("category") == categories[hit.id]
        found += len(set(want) & {hit.id for hit in hits})
    assert found >= least * 10 * QUERIES, (index_type, found)
    return collection, rows


def check_rows(collection, rows):
    ids, vectors, tenants, categories = rows
    got = collection.query("doc_id in [5, 6, 7]", output_fields=["category", "embedding"])
    assert [r["doc_id"] for r in got] == [5, 6, 7]
    assert [r["category"] for r in got] == categories[5:8]
    assert np.array_equal(np.array(got[0]["embedding"], dtype=np.float32), vectors[5])
    assert collection.query("tenant_id == 3", output_fields=["count(*)"]) == [
        {"count(*)": tenants.count(3)}]
    assert collection.delete("doc_id in [5, 6]").delete_count == 2
    assert collection.query("doc_id in [5, 6, 7]", output_fields=["doc_id"]) == [{"doc_id": 7}]
    collection.upsert([[5], [vectors[6].tolist()], [99], ["news"]])
    two = collection.search([vectors[6].tolist(), vectors[7].tolist()], "embedding",
                            {"metric_type": "COSINE", "params": {}}, limit=1, offset=0)
    assert [hits[0].id for hits in two] == [5, 7]
    second = collection.search([vectors[7].tolist()], "embedding", {"metric_type": "COSINE"},
                               limit=2)[0]
    skipped = collection.search([vectors[7].tolist()], "embedding", {"metric_type": "COSINE"},
                                limit=1, offset=1)[0]
    assert [h.id for h in skipped] == [second[1].id]


def check_errors(collection):
    good = [0.5] * DIM
    fails(1100, collection.search, [good], "embedding", {"metric_type": "L2"}, 3)
    fails(1100, collection.search, [good], "embedding", {"metric_type": "COSINE"}, 3,
          expr="tenant_id ==")
    fails(1100, collection.search, [good], "embedding", {"metric_type": "COSINE"}, 3,
          output_fields=["nothing"])
    fails(1100, collection.search, [good[:-1]], "embedding", {"metric_type": "COSINE"}, 3)
    fails(200, collection.search, [good], "embedding", {"metric_type": "COSINE"}, 3,
          partition_names=["elsewhere"])
    fails(1, collection.create_partition, "_default")  # which the client itself says
    collection.release()
    fails(101, collection.query, "doc_id == 1")
    collection.drop_index()
    assert not collection.has_index()
    fails(700, collection.load)


def main():
    logging.disable(logging.CRITICAL)  # the failures that are meant to be
    warnings.simplefilter("ignore")
    connections.connect("default", host="127.0.0.1", port=sys.argv[1])
    assert utility.get_server_version().startswith("vecdb-")
    check_index("IVF_FLAT", "L2", {"nlist": 32}, {"nprobe": 16}, 0.8)
    check_index("IVF_SQ8", "IP", {"nlist": 32}, {"nprobe": 16}, 0.8)
    check_index("IVF_PQ", "L2", {"nlist": 16, "m": 16, "nbits": 8}, {"nprobe": 16}, 0.7)
    check_index("IVF_HNSW", "L2", {"nlist": 32, "M": 16, "efConstruction": 100}, {"ef": 64}, 0.7)
    check_index("FLAT", "IP", {}, {}, 1.0)
    check_index("AUTOINDEX", "COSINE", {}, {}, 0.9)
    collection, rows = check_index("HNSW", "COSINE", {"M": 16, "efConstruction": 200},
                                   {"ef": 128}, 0.9)
    check_rows(collection, rows)
    check_errors(collection)
    names = utility.list_collections()
    assert len(names) == 7 and "orm_hnsw_cosine" in names, names
    for name in names:
        utility.drop_collection(name)
    assert utility.list_collections() == []
    fails(1, Collection, "gone")  # pymilvus makes this code of the server's 100
    connections.disconnect("default")
    print("milvus_orm: ok")


if __name__ == "__main__":
    main()
