"""pymilvus's MilvusClient, as programs of Milvus 2.6 and 3.0 are written, against a running vecdbd."""
import logging
import math
import sys

import numpy as np
from pymilvus import (AnnSearchRequest, DataType, MilvusClient, MilvusException, RRFRanker,
                      WeightedRanker)

DIM = 16


def fails(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MilvusException as e:
        assert e.code == code, (e.code, code, e.message)
        return
    raise AssertionError(f"{call} did not fail")


def key_of(hit, name):
    """Newer clients name a hit's key by its field."""
    return hit[name] if "id" not in hit.keys() else hit["id"]


def rows_of(n, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, DIM)).astype(np.float32)
    return vectors, [{"id": i, "vector": vectors[i].tolist(), "color": ["red", "blue"][i % 2],
                      "size": i} for i in range(n)]


def check_quick(client):
    """The quick form: fields that the schema does not name travel as JSON."""
    if client.has_collection("quick"):
        client.drop_collection("quick")
    client.create_collection("quick", dimension=DIM, metric_type="IP")
    assert client.list_collections() == ["quick"]
    vectors, rows = rows_of(200, 1)
    answer = client.insert("quick", rows)
    assert answer["insert_count"] == 200 and list(answer["ids"]) == list(range(200))
    query = np.ones(DIM, dtype=np.float32)
    dots = vectors.astype(np.float64) @ query
    hits = client.search("quick", [query.tolist()], limit=5, output_fields=["color", "size"])[0]
    assert [h["id"] for h in hits] == [int(i) for i in np.argsort(-dots)[:5]]
    for h in hits:
        assert abs(h["distance"] - dots[h["id"]]) < 1e-4
        assert h["entity"] == {"color": ["red", "blue"][h["id"] % 2], "size": h["id"]}
    got = client.get("quick", ids=[3, 4], output_fields=["color"])
    assert [(r["id"], r["color"]) for r in got] == [(3, "blue"), (4, "red")]
    assert client.delete("quick", ids=[3])["delete_count"] == 1
    assert client.delete("quick", filter="id > 100")["delete_count"] == 99
    assert client.query("quick", "", output_fields=["count(*)"])[0]["count(*)"] == 100
    red = client.query("quick", 'color == "red" and size < 10', output_fields=["size"])
    assert [r["size"] for r in red] == [0, 2, 4, 6, 8]
    fails(1100, client.query, "quick", 'color == $ "red"')
    fails(1100, client.delete, "quick", filter="nothing ==")


def check_typed(client):
    """Every type, nulls, defaults, numbered keys, templates of filters."""
    schema = MilvusClient.create_schema(auto_id=True, enable_dynamic_field=False)
    schema.add_field("key", DataType.INT64, is_primary=True)
    schema.add_field("flag", DataType.BOOL)
    schema.add_field("tiny", DataType.INT8)
    schema.add_field("short", DataType.INT16)
    schema.add_field("plain", DataType.INT32)
    schema.add_field("real", DataType.FLOAT)
    schema.add_field("wide", DataType.DOUBLE)
    schema.add_field("text", DataType.VARCHAR, max_length=100, nullable=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    schema.add_field("bits", DataType.BINARY_VECTOR, dim=DIM)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="COSINE", M=8, efConstruction=64)
    index.add_index("bits", index_type="BIN_FLAT", metric_type="HAMMING")
    index.add_index("text", index_type="INVERTED")
    client.create_collection("typed", schema=schema, index_params=index)
    vectors, _ = rows_of(50, 2)
    rows = [{"flag": i % 2 == 0, "tiny": i - 25, "short": i * 100, "plain": -i, "real": i / 4,
             "wide": i / 3, "text": None if i % 5 == 0 else f"row {i}",
             "vector": vectors[i].tolist(), "bits": bytes([i, 0])} for i in range(50)]
    keys = list(client.insert("typed", rows)["ids"])
    assert len(set(keys)) == 50 and keys == sorted(keys)
    got = client.query("typed", "key > 0", output_fields=["*"])
    assert len(got) == 50
    for row, want, key in zip(got, rows, keys):
        assert row["key"] == key
        for name in ("flag", "tiny", "short", "plain", "wide", "text"):
            assert row[name] == want[name], (name, row[name], want[name])
        assert row["real"] == np.float32(want["real"])
        assert bytes(row["bits"][0]) == want["bits"]
        assert np.array_equal(np.array(row["vector"], dtype=np.float32),
                              np.array(want["vector"], dtype=np.float32))
    got = client.query("typed", "tiny in {some} and text is not null",
                       filter_params={"some": [-24, -23, -20]}, output_fields=["text"])
    assert [r["text"] for r in got] == ["row 1", "row 2"]
    hits = client.search("typed", [vectors[9].tolist()], anns_field="vector", limit=2,
                         filter="flag == {f}", filter_params={"f": False},
                         output_fields=["plain"])[0]
    assert key_of(hits[0], "key") == keys[9] and hits[0]["entity"]["plain"] == -9
    hits = client.search("typed", [bytes([7, 0])], anns_field="bits", limit=1)[0]
    assert key_of(hits[0], "key") == keys[7] and hits[0]["distance"] == 0
    fields = {f["name"]: f for f in client.describe_collection("typed")["fields"]}
    assert fields["vector"]["params"]["dim"] == DIM and fields["text"]["params"]["max_length"] == 100
    assert fields["key"]["auto_id"] and fields["text"]["nullable"]
    assert sorted(client.list_indexes("typed")) == ["bits", "text", "vector"]
    described = client.describe_index("typed", "vector")
    assert (described["index_type"], described["metric_type"]) == ("HNSW", "COSINE")


def check_sparse(client):
    """Sparse vectors, given as dicts, beside dense ones whose metric the index changes."""
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    client.create_collection("sparse", schema=schema)
    rng = np.random.default_rng(5)
    vectors, _ = rows_of(100, 5)
    words = [{int(w): float(rng.uniform(-0.5, 2)) for w in rng.choice(40, i % 7, replace=False)}
             for i in range(1, 100)]
    rows = [{"id": i, "words": w, "vector": vectors[i].tolist()} for i, w in enumerate(words)]
    client.insert("sparse", rows)
    index = client.prepare_index_params()
    index.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_index("sparse", index)
    client.load_collection("sparse")
    assert client.describe_index("sparse", "words")["index_type"] == "SPARSE_INVERTED_INDEX"
    query = {3: 1.0, 17: 0.5, 25: 2.0, 99: 1.0}
    scores = {i: sum(query[k] * w[k] for k in w.keys() & query.keys())
              for i, w in enumerate(words) if w.keys() & query.keys()}
    hits = client.search("sparse", [query], anns_field="words", limit=100,
                         search_params={"metric_type": "IP"}, output_fields=["words"])[0]
    assert len(hits) == len(scores)
    for h in hits:
        assert abs(h["distance"] - scores[key_of(h, "id")]) < 1e-5
        got, want = h["entity"]["words"], words[key_of(h, "id")]
        assert got.keys() == want.keys() and all(abs(got[k] - want[k]) < 1e-6 for k in got)
    assert [h["distance"] for h in hits] == sorted((h["distance"] for h in hits), reverse=True)
    fails(1100, client.search, "sparse", [query], anns_field="words", limit=1,
          search_params={"metric_type": "L2"})
    fails(1100, client.search, "sparse", [query], anns_field="vector", limit=1)
    check_hybrid(client, query, scores, vectors)
    client.drop_index("sparse", "words")
    client.drop_collection("sparse")


def check_hybrid(client, query, scores, vectors):
    """Words and meaning in one ranking, by ranks and by weighted scores."""
    dense = vectors[0] + vectors[1]
    squares = {i: float(((v - dense) ** 2).sum()) for i, v in enumerate(vectors[:99])}
    parts = [AnnSearchRequest([query], "words", {"metric_type": "IP"}, limit=20),
             AnnSearchRequest([dense.tolist()], "vector", {"metric_type": "L2"}, limit=30,
                              expr="id < 80")]
    lists = [sorted(scores, key=lambda i: -scores[i])[:20],
             sorted((i for i in squares if i < 80), key=lambda i: squares[i])[:30]]
    ranked, weighted = {}, {}
    for found in lists:
        for rank, i in enumerate(found):
            ranked[i] = ranked.get(i, 0) + 1 / (61 + rank)
    for i in lists[0]:
        weighted[i] = 0.7 * (0.5 + math.atan(scores[i]) / math.pi)
    for i in lists[1]:
        weighted[i] = weighted.get(i, 0) + 0.3 * (1 - 2 * math.atan(squares[i]) / math.pi)
    for ranker, want in (RRFRanker(), ranked), (WeightedRanker(0.7, 0.3), weighted):
        hits = client.hybrid_search("sparse", parts, ranker, limit=12, offset=1,
                                    output_fields=["id"])[0]
        best = sorted(want.values(), reverse=True)[1:13]
        assert len(hits) == 12
        for h, score in zip(hits, best):
            assert abs(h["distance"] - score) < 1e-5
            assert abs(want[key_of(h, "id")] - score) < 1e-5
    fails(1100, client.hybrid_search, "sparse", parts, WeightedRanker(0.7), limit=5)


def check_metric_change(client):
    """An index with another metric on a collection that has rows already."""
    schema = MilvusClient.create_schema()
    schema.add_field("name", DataType.VARCHAR, max_length=20, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    schema.add_field("n", DataType.INT32, nullable=True)
    client.create_collection("moved", schema=schema)
    vectors, _ = rows_of(2500, 3)
    client.insert("moved", [{"name": f"k{i}", "vector": vectors[i].tolist(),
                             "n": None if i % 7 == 0 else i} for i in range(2500)])
    for metric in ("L2", "IP"):
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type=metric)
        if client.list_indexes("moved"):
            client.release_collection("moved")
            client.drop_index("moved", "vector")
        client.create_index("moved", index)
        client.load_collection("moved")
        query = vectors[0].astype(np.float64) + 0.25
        exact = (((vectors - query) ** 2).sum(axis=1) if metric == "L2"
                 else -(vectors.astype(np.float64) @ query))
        hits = client.search("moved", [query.tolist()], limit=4, output_fields=["n"])[0]
        best = [int(i) for i in np.argsort(exact)[:4]]
        assert [key_of(h, "name") for h in hits] == [f"k{i}" for i in best]
        assert [h["entity"]["n"] for h in hits] == [None if i % 7 == 0 else i for i in best]
    assert client.get_collection_stats("moved")["row_count"] == 2500
    assert "moved" in client.list_collections()


def check_groups(client):
    """The nearest rows of each value of a field, which hide no others."""
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    schema.add_field("doc", DataType.VARCHAR, max_length=20)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection("grouped", schema=schema, index_params=index)
    client.insert("grouped", [{"id": i, "vector": [i, 0],
                               "doc": "near" if i < 400 else f"far{i // 50}"} for i in range(600)])
    hits = client.search("grouped", [[0, 0], [599, 0]], limit=3, group_by_field="doc",
                         group_size=2, output_fields=["doc"])
    assert [key_of(h, "id") for h in hits[0]] == [0, 1, 400, 401, 450, 451], hits[0]
    assert [key_of(h, "id") for h in hits[1]] == [599, 598, 549, 548, 499, 498], hits[1]
    assert [h["entity"]["doc"] for h in hits[0]] == ["near"] * 2 + ["far8"] * 2 + ["far9"] * 2
    later = client.search("grouped", [[0, 0]], limit=2, offset=1, group_by_field="doc")[0]
    assert [key_of(h, "id") for h in later] == [400, 450]
    fails(1100, client.search, "grouped", [[0, 0]], limit=2, group_by_field="vector")
    fails(1100, client.search, "grouped", [[0, 0]], limit=2, group_by_field="none")


def check_changes(client):
    """Some fields of rows, a field that comes later, rows that have had their time."""
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    schema.add_field("n", DataType.INT32)
    client.create_collection("changing", schema=schema)
    client.insert("changing", [{"id": i, "vector": [i, 1], "n": i} for i in range(10)])
    answer = client.upsert("changing", [{"id": 3, "n": 30}, {"id": 4, "n": 40}],
                           partial_update=True)
    assert answer["upsert_count"] == 2
    client.create_index("changing", client.prepare_index_params(
        "vector", index_type="FLAT", metric_type="COSINE"))
    client.load_collection("changing")
    row = client.get("changing", ids=[3])[0]
    assert row["n"] == 30 and list(row["vector"]) == [3, 1]
    try:
        client.upsert("changing", [{"id": 50, "n": 1}], partial_update=True)
        raise AssertionError("a row came without its vector")
    except MilvusException:
        pass
    client.add_collection_field("changing", "note", DataType.VARCHAR, max_length=20, nullable=True)
    client.add_collection_field("changing", "stars", DataType.INT8, nullable=True,
                                default_value=5)
    client.upsert("changing", [{"id": 5, "note": "new"}], partial_update=True)
    rows = client.query("changing", "id in [4, 5]", output_fields=["note", "stars", "n"])
    assert [(r["note"], r["stars"], r["n"]) for r in rows] == [(None, 5, 40), ("new", 5, 5)], rows
    assert client.query("changing", "note is null", output_fields=["count(*)"])[0]["count(*)"] == 9
    names = [f["name"] for f in client.describe_collection("changing")["fields"]]
    assert names == ["id", "vector", "n", "note", "stars"]
    client.alter_collection_properties("changing", {"collection.ttl.seconds": "100000"})
    client.insert("changing", [{"id": 60, "vector": [1, 1], "n": 6}])
    assert len(client.query("changing", "id >= 0", output_fields=["*"])) == 11
    assert "_written" not in client.query("changing", "id == 60", output_fields=["*"])[0]
    assert [f["name"] for f in client.describe_collection("changing")["fields"]] == names
    client.drop_collection_properties("changing", ["collection.ttl.seconds"])
    assert len(client.query("changing", "id >= 0")) == 11


def main():
    logging.disable(logging.CRITICAL)  # the failures that are meant to be
    client = MilvusClient(uri=f"http://127.0.0.1:{sys.argv[1]}")
    check_quick(client)
    check_typed(client)
    check_sparse(client)
    check_metric_change(client)
    check_groups(client)
    check_changes(client)
    assert client.list_databases() == ["default"]
    for name in client.list_collections():
        client.drop_collection(name)
    assert client.list_collections() == [] and not client.has_collection("quick")
    client.drop_collection("quick")  # no error
    print("milvus_client: ok")


if __name__ == "__main__":
    main()
