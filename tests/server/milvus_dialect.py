"""Databases, aliases, new names, partitions, arrays, JSON and ranges through MilvusClient, against what
was put in and numpy. The server's port is the argument."""
import logging
import sys
import warnings

import numpy as np
from pymilvus import DataType, MilvusClient

DIM, ROWS = 16, 400


def fails(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception as e:  # pylint: disable=broad-except
        assert getattr(e, "code", None) == code, e
        return
    raise AssertionError(f"{call} did not fail")


def make(client, name):
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    schema.add_field("info", DataType.JSON, nullable=True)
    schema.add_field("tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=8,
                     max_length=32)
    schema.add_field("nums", DataType.ARRAY, element_type=DataType.FLOAT, max_capacity=8)
    schema.add_field("state", DataType.VARCHAR, max_length=16, default_value="new")
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=schema, index_params=index)


def make_rows(seed):
    vectors = np.random.default_rng(seed).standard_normal((ROWS, DIM)).astype(np.float32)
    return vectors, [{
        "id": i, "vector": vectors[i].tolist(), "size": i % 50, "tags": ["a", "b\"", "c"][:i % 4],
        "nums": [i + 0.5] * (i % 3), "info": None if i % 10 == 9 else {
            "n": i, "deep": {"list": [i % 5, "x"]}, "text": f"größe {i}"}} for i in range(ROWS)]


def ids(rows):
    return [r["id"] for r in rows]


def check_fields(client, name, rows):
    got = client.query(name, "id < 20", output_fields=["*"])
    for g, r in zip(got, rows[:20]):
        assert g["tags"] == r["tags"] and g["info"] == r["info"] and g["size"] == r["size"]
        assert list(g["nums"]) == r["nums"] and g["state"] == "new"
    for text, passes in [
            ("size > 47", lambda r: r["size"] > 47),
            ('$meta["size"] in [1, 2]', lambda r: r["size"] in (1, 2)),
            ('info["n"] < 7', lambda r: r["info"] and r["info"]["n"] < 7),
            ('info["deep"]["list"][0] == 3', lambda r: r["info"] and r["id"] % 5 == 3),
            ('info["text"] like "%10" or info["text"] == "größe 7"',
             lambda r: r["info"] and (str(r["id"]).endswith("10") or r["id"] == 7)),
            ('json_contains(info["deep"]["list"], 2)', lambda r: r["info"] and r["id"] % 5 == 2),
            ("info is null", lambda r: r["info"] is None),
            ('exists info["deep"] and not exists info["none"]', lambda r: r["info"]),
            ("exists size and not exists color", lambda r: True),
            ('info["n"] in [3, 9007199254740993] or info["text"] > 3', lambda r: r["id"] == 3),
            ('array_contains_all(tags, ["a", "c"])', lambda r: len(r["tags"]) == 3),
            ("array_length(nums) == 2 and nums[1] > 100", lambda r: r["id"] % 3 == 2
             and r["id"] > 99)]:
        assert ids(client.query(name, text, limit=ROWS)) == [r["id"] for r in rows if passes(r)], text
    got = client.query(name, "size > 47", output_fields=["size", "color"], limit=ROWS)
    assert list(got) == [{"id": r["id"], "size": r["size"]} for r in rows if r["size"] > 47]
    hits = client.search(name, [rows[7]["vector"]], filter="size < 9", limit=3, output_fields=["size"])[0]
    assert hits[0]["id"] == 7 and all(h["entity"] == {"size": h["id"] % 50} for h in hits)
    fails(1100, client.query, name, 'info["n"] == info["m"]')
    fails(1100, client.insert, name, [dict(rows[0], tags=["x"] * 9)])


def check_partitions(client, name, vectors, rows):
    client.create_partition(name, "odd")
    fails(1100, client.create_partition, name, "odd")
    assert client.list_partitions(name) == ["_default", "odd"]
    assert client.has_partition(name, "odd") and not client.has_partition(name, "even")
    client.insert(name, rows[::2])
    client.insert(name, rows[1::2], partition_name="odd")
    fails(200, client.insert, name, rows[:1], partition_name="even")
    assert client.get_partition_stats(name, "odd")["row_count"] == ROWS // 2
    hits = client.search(name, [vectors[0].tolist()], limit=20, partition_names=["odd"])[0]
    exact = ((vectors - vectors[0]) ** 2).sum(axis=1)
    assert ids(hits) == sorted(range(1, ROWS, 2), key=lambda i: exact[i])[:20]
    assert len(client.query(name, "id >= 0", partition_names=["_default"], limit=ROWS)) == ROWS // 2
    assert client.delete(name, filter="id in [1, 2]", partition_name="odd")["delete_count"] == 1
    assert ids(client.query(name, "id in [1, 2]")) == [2]
    client.drop_partition(name, "odd")
    assert client.query(name, "", output_fields=["count(*)"]) == [{"count(*)": ROWS // 2}]


def check_ranges(client, name, vectors):
    exact = ((vectors - 0.25) ** 2).sum(axis=1)
    order = np.sort(exact)
    inner, radius = float(order[30]), float(order[90])
    hits = client.search(name, [[0.25] * DIM], limit=40, search_params={
        "metric_type": "L2", "params": {"radius": radius, "range_filter": inner}})[0]
    assert len(hits) == 40 and all(inner - 1e-3 <= h["distance"] < radius for h in hits)
    assert np.allclose([h["distance"] for h in hits], order[30:70], atol=1e-3)
    walk = client.search_iterator(name, [[0.25] * DIM], batch_size=37, limit=150,
                                  search_params={"metric_type": "L2"})
    found = []
    while batch := walk.next():
        found += [h["id"] for h in batch]
    walk.close()
    assert found == np.argsort(exact)[:150].tolist()


def check_names(client, name):
    client.create_alias(name, "other")
    fails(1100, client.create_alias, name, "other")
    assert client.list_aliases(name)["aliases"] == ["other"]
    assert client.describe_alias("other")["collection_name"] == name
    assert client.describe_collection("other")["collection_name"] == name
    assert client.query("other", "id == 7", output_fields=["id"]) == [{"id": 7}]
    fails(1100, client.drop_collection, name)
    client.drop_alias("other")
    fails(100, client.query, "other", "id == 7")
    client.rename_collection(name, "renamed")
    assert not client.has_collection(name) and client.has_collection("renamed")
    make(client, name)  # the old name is free again, and means another collection
    assert client.query(name, "id == 7") == [] and len(client.query("renamed", "id == 7")) == 1
    client.rename_collection("renamed", "moved")
    fails(1100, client.rename_collection, "moved", name)
    client.drop_collection("moved")


def check_databases(client, name, rows):
    client.create_database("tenant")
    fails(1100, client.create_database, "tenant")
    client.use_database("tenant")
    assert client.list_collections() == []
    make(client, name)
    client.insert(name, rows[:3])
    assert len(client.query(name, "id >= 0", limit=10)) == 3
    fails(1100, client.drop_database, "tenant")
    client.use_database("default")
    assert client.query(name, "id >= 0", limit=10) == []
    client.use_database("tenant")
    client.drop_collection(name)
    client.use_database("default")
    client.drop_database("tenant")
    assert client.list_databases() == ["default"]
    if hasattr(client, "truncate_collection"):
        client.insert(name, rows[:5])
        client.truncate_collection(name)
        assert client.query(name, "", output_fields=["count(*)"]) == [{"count(*)": 0}]
    fails(800, client.use_database, "tenant")


def main():
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    client = MilvusClient(uri=f"http://127.0.0.1:{sys.argv[1]}")
    vectors, rows = make_rows(11)
    make(client, "parts")
    check_partitions(client, "parts", vectors, rows)
    make(client, "all")
    client.insert("all", rows)
    check_fields(client, "all", rows)
    check_ranges(client, "all", vectors)
    check_names(client, "all")
    check_databases(client, "all", rows)
    for name in client.list_collections():
        client.drop_collection(name)
    print("milvus_dialect: ok")


if __name__ == "__main__":
    main()
