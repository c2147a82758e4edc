"""qdrant_client_test.py - an unmodified qdrant-client against vecdbd, held against the client's own
in-process mode: both are asked the same, and must answer the same.

    python qdrant_client_test.py VECDBD
"""

import random
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
import warnings

from qdrant_client import QdrantClient, models as m
from qdrant_client.http.exceptions import UnexpectedResponse

DIM = 8
N = 300


class Server:
    def __init__(self, program):
        self.folder = tempfile.mkdtemp(prefix="vecdb-qdrant-")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen(
            [program, "--data", self.folder + "/db", "--listen", f"127.0.0.1:{self.port}"],
            stderr=subprocess.PIPE)
        while b"serving" not in self.process.stderr.readline():
            if self.process.poll() is not None:
                raise SystemExit("the server did not start")

    def stop(self):
        self.process.terminate()
        status = self.process.wait()
        shutil.rmtree(self.folder)
        return status


def payload(rng, i):
    out = {
        "n": i,
        "price": round(rng.uniform(-100, 100), 3),
        "color": rng.choice(["red", "green", "blue"]),
        "tags": rng.sample(["a", "b", "c", "d"], rng.randint(0, 3)),
        "flag": rng.random() < 0.5,
        "text": "caf\u00e9 \u20ac " * rng.randint(1, 30),
        "meta": {"source": f"s{i % 7}", "deep": {"x": i % 5}},
        "parts": [{"k": j, "name": f"p{j}"} for j in range(rng.randint(0, 3))],
        "a.b": i % 2,
    }
    if i % 4 == 0:
        out["gone"] = None
    if i % 3 == 0:
        out["rare"] = i / 3
    return out


def points(rng):
    for i in range(N):
        ident = i if i % 2 else str(uuid.UUID(int=rng.getrandbits(128)))
        yield m.PointStruct(id=ident, vector=[rng.gauss(0, 1) for _ in range(DIM)],
                            payload=payload(rng, i))


def match(key, value):
    return m.FieldCondition(key=key, match=m.MatchValue(value=value))


def between(key, **bounds):
    return m.FieldCondition(key=key, range=m.Range(**bounds))


FILTERS = [
    None,
    m.Filter(),
    m.Filter(must=[match("color", "red")]),
    m.Filter(must=[match("color", "red"), match("flag", True)]),
    m.Filter(should=[match("color", "red"), match("n", 7)]),
    m.Filter(must_not=[match("color", "red"), match("tags", "a")]),
    m.Filter(must=[match("tags", "b")], should=[match("flag", False), match("n", 3)],
             must_not=[match("meta.source", "s1")]),
    m.Filter(must=[match("meta.deep.x", 2)]),
    m.Filter(must=[match("parts[].name", "p1")]),
    m.Filter(must=[match("text", "caf\u00e9 \u20ac " * 20)]),
    m.Filter(must=[match("nothing", "x")]),
    m.Filter(must=[m.FieldCondition(key="color", match=m.MatchAny(any=["red", "blue"]))]),
    m.Filter(must=[m.FieldCondition(key="n", match=m.MatchAny(any=[1, 5, 1000]))]),
    m.Filter(must=[m.FieldCondition(key="color", match=m.MatchExcept(**{"except": ["red"]}))]),
    m.Filter(must=[between("n", gt=10, lte=50)]),
    m.Filter(must=[between("n", gte=10, lt=50)]),
    m.Filter(must=[between("price", gte=-3.5, lt=20.25)]),
    m.Filter(must=[between("price", lt=-50)]),
    m.Filter(must=[between("price", gt=99.9)]),
    m.Filter(must=[between("rare", gte=0)]),
    m.Filter(must=[between("n", gt=5, lt=5)]),
    m.Filter(must=[between("parts[].k", gte=2)]),
    m.Filter(must=[m.IsNullCondition(is_null=m.PayloadField(key="gone"))]),
    m.Filter(must=[m.IsEmptyCondition(is_empty=m.PayloadField(key="tags"))]),
    m.Filter(must=[m.IsEmptyCondition(is_empty=m.PayloadField(key="rare"))]),
    m.Filter(must=[m.HasIdCondition(has_id=[1, 3, 5, 9999])]),
    m.Filter(must=[m.Filter(should=[match("color", "red"), between("n", gt=200)]),
                   m.Filter(must_not=[match("flag", True)])]),
]


def near(a, b):
    return abs(a - b) <= 1e-4 * max(1.0, abs(a), abs(b))


def same_vector(a, b):
    if isinstance(a, m.SparseVector) or isinstance(b, m.SparseVector):
        a, b = (dict(zip(v.indices, v.values)) for v in (a, b))
        return a.keys() == b.keys() and all(near(a[k], b[k]) for k in a)
    if isinstance(a, dict) or isinstance(b, dict):
        return a.keys() == b.keys() and all(same_vector(a[k], b[k]) for k in a)
    if a is None or b is None:
        return a is b
    return len(a) == len(b) and all(near(x, y) for x, y in zip(a, b))


def same_points(ours, theirs):
    assert len(ours) == len(theirs), (len(ours), len(theirs))
    for a, b in zip(ours, theirs):
        assert a.id == b.id, (a, b)
        assert a.payload == b.payload, (a.payload, b.payload)
        assert same_vector(a.vector, b.vector), (a.vector, b.vector)
        if hasattr(a, "score"):
            assert near(a.score, b.score), (a, b)


class Both:
    """Does each call on the server and on the oracle; their answers are compared where given."""

    def __init__(self, ours, oracle):
        self.ours, self.oracle = ours, oracle

    def __getattr__(self, name):
        def call(*args, **kwargs):
            return (getattr(self.ours, name)(*args, **kwargs),
                    getattr(self.oracle, name)(*args, **kwargs))
        return call


def by_id(records):
    return sorted(records, key=lambda r: str(r.id))


def scroll_all(client, name, **kwargs):
    out, offset = [], None
    while True:
        page, offset = client.scroll(name, limit=64, offset=offset, **kwargs)
        out += page
        if offset is None:
            return out


def check_reads(both, name):
    rng = random.Random(2)
    for i, f in enumerate(FILTERS):
        a, b = both.count(name, count_filter=f)
        assert a.count == b.count, (i, a.count, b.count)
        ours = scroll_all(both.ours, name, scroll_filter=f, with_vectors=True)
        theirs = scroll_all(both.oracle, name, scroll_filter=f, with_vectors=True)
        same_points(by_id(ours), by_id(theirs))
        assert len({str(r.id) for r in ours}) == len(ours)
        query = [rng.gauss(0, 1) for _ in range(DIM)]
        a, b = both.query_points(name, query=query, query_filter=f, limit=7, offset=i % 3,
                                 with_vectors=bool(i % 2),
                                 search_params=m.SearchParams(exact=True))
        same_points(a.points, b.points)
    for selector in (["color", "meta.source"], m.PayloadSelectorInclude(include=["n", "meta"]),
                     m.PayloadSelectorExclude(exclude=["text", "meta.deep"]), False):
        a, b = both.retrieve(name, ids=[1, 3], with_payload=selector)
        same_points(by_id(a), by_id(b))
    threshold = both.oracle.query_points(name, query=query, limit=9).points[4].score
    a, b = both.query_points(name, query=query, limit=9, score_threshold=threshold)
    assert 4 <= len(a.points) <= 5 and 4 <= len(b.points) <= 5
    a, b = both.query_points(name, query=1, limit=5)
    same_points(a.points, b.points)
    for group_by, size in (("color", 4), ("meta.source", 2), ("n", 1), ("meta.deep.x", 3)):
        a, b = both.query_points_groups(name, group_by=group_by, query=query, limit=5,
                                        group_size=size, with_payload=["n"],
                                        query_filter=FILTERS[0])
        assert [g.id for g in a.groups] == [g.id for g in b.groups], group_by
        for x, y in zip(a.groups, b.groups, strict=True):
            same_points(x.hits, y.hits)
    for diversity, candidates in ((0.0, 20), (0.5, 30), (1.0, 12), (0.3, None)):
        mmr = m.NearestQuery(nearest=query, mmr=m.Mmr(diversity=diversity,
                                                      candidates_limit=candidates))
        a, b = both.query_points(name, query=mmr, limit=6, offset=1)
        same_points(a.points, b.points)
    euclid = both.oracle.get_collection(name).config.params.vectors.distance == m.Distance.EUCLID
    sources = [m.Prefetch(query=query, limit=20), m.Prefetch(query=query[::-1], limit=30),
               m.Prefetch(query=query[1:] + query[:1], limit=25, filter=FILTERS[0])]
    for fusion in [m.Fusion.RRF] + ([] if euclid else [m.Fusion.DBSF]):
        a, b = both.query_points(name, prefetch=sources, query=m.FusionQuery(fusion=fusion),
                                 limit=9, offset=2)
        assert len(a.points) == len(b.points) == 9
        assert all(near(x.score, y.score) for x, y in zip(a.points, b.points))
    requests = [m.QueryRequest(query=query, limit=k, with_payload=True) for k in (1, 4)]
    a, b = both.query_batch_points(name, requests=requests)
    for x, y in zip(a, b, strict=True):
        same_points(x.points, y.points)


def check_changes(both, name):
    both.set_payload(name, payload={"color": "black", "new": [1, 2]}, points=[1, 3])
    both.set_payload(name, payload={"seen": True}, points=m.Filter(must=[match("color", "blue")]))
    both.overwrite_payload(name, payload={"only": "this"}, points=[5])
    both.delete_payload(name, keys=["text", "none"], points=[7])
    both.clear_payload(name, points_selector=[9])
    both.delete(name, points_selector=[11, 13, 4444])
    both.delete(name, points_selector=m.FilterSelector(
        filter=m.Filter(must=[match("color", "green")])))
    for f in FILTERS + [m.Filter(must=[match("new", 2)]), m.Filter(must=[match("seen", True)])]:
        same_points(by_id(scroll_all(both.ours, name, scroll_filter=f, with_vectors=True)),
                    by_id(scroll_all(both.oracle, name, scroll_filter=f, with_vectors=True)))


def check_distances(both):
    rng = random.Random(1)
    all_points = list(points(rng))
    for distance in (m.Distance.COSINE, m.Distance.DOT, m.Distance.EUCLID):
        name = f"1 {distance.value} caf\u00e9"
        both.create_collection(name, vectors_config=m.VectorParams(size=DIM, distance=distance))
        both.upsert(name, points=all_points[: N // 2])
        both.upload_points(name, points=all_points[N // 2:], wait=True)
        check_reads(both, name)
        check_changes(both, name)
        both.delete_collection(name)


def check_named(both):
    config = {"a": m.VectorParams(size=2, distance=m.Distance.DOT),
              "b-1": m.VectorParams(size=3, distance=m.Distance.COSINE)}
    both.create_collection("named", vectors_config=config)
    both.upsert("named", points=[
        m.PointStruct(id=1, vector={"a": [1, 0], "b-1": [0, 2, 0]}, payload={"x": 1}),
        m.PointStruct(id=2, vector={"a": [0.5, 1]}),
        m.PointStruct(id=3, vector={"b-1": [1, 1, 0]}, payload={"x": 2})])
    for using, query in (("a", [-1.0, -2.0]), ("b-1", [1.0, 2.0, 3.0])):
        a, b = both.query_points("named", query=query, using=using, with_vectors=True)
        same_points(a.points, b.points)
        a, b = both.query_points("named", query=query, using=using,
                                 query_filter=m.Filter(must=[between("x", gte=1)]))
        same_points(a.points, b.points)
    a, b = both.retrieve("named", ids=[1, 2, 3], with_vectors=["a"])
    same_points(by_id(a), by_id(b))
    both.upsert("named", points=m.Batch(ids=[4], vectors={"a": [[3, 3]]}, payloads=[{"x": 9}]))
    a, b = both.query_points("named", query=[1.0, 1.0], using="a", limit=1)
    same_points(a.points, b.points)


def words(rng, most=12):
    indices = rng.sample(range(0, 60, 2), rng.randint(1, most))
    return m.SparseVector(indices=indices, values=[rng.uniform(-0.5, 2) for _ in indices])


def check_sparse(both):
    """Sparse vectors alone, weighted by IDF, filtered, changed, and fused with dense ones."""
    rng = random.Random(4)
    both.create_collection(
        "sparse", vectors_config=m.VectorParams(size=DIM, distance=m.Distance.COSINE),
        sparse_vectors_config={"words": m.SparseVectorParams(),
                               "rare": m.SparseVectorParams(modifier=m.Modifier.IDF)})
    config = both.ours.get_collection("sparse").config.params.sparse_vectors
    assert config["rare"].modifier == m.Modifier.IDF and config["words"].modifier is None
    for i in range(N):
        vector = {"": [rng.gauss(0, 1) for _ in range(DIM)], "rare": words(rng)}
        if i % 5:
            vector["words"] = words(rng)
        both.upsert("sparse", points=[m.PointStruct(id=i, vector=vector, payload=payload(rng, i))])
    for step in range(2):
        for i, f in enumerate(FILTERS):
            query = words(rng, 5)
            for using in "words", "rare":
                a, b = both.query_points("sparse", query=query, using=using, query_filter=f,
                                         limit=9, offset=i % 3, with_vectors=bool(i % 2))
                same_points(a.points, b.points)
        a, b = both.query_points("sparse", query=4, using="rare", limit=7, score_threshold=0.5)
        same_points(a.points, b.points)
        dense = [rng.gauss(0, 1) for _ in range(DIM)]
        sources = [m.Prefetch(query=dense, limit=20),
                   m.Prefetch(query=words(rng), using="words", limit=20),
                   m.Prefetch(query=words(rng), using="rare", limit=20, filter=FILTERS[2])]
        for fusion in m.Fusion.RRF, m.Fusion.DBSF:
            a, b = both.query_points("sparse", prefetch=sources, limit=9,
                                     query=m.FusionQuery(fusion=fusion))
            assert all(near(x.score, y.score) for x, y in zip(a.points, b.points, strict=True))
        both.delete("sparse", points_selector=list(range(0, N, 6)))
        both.set_payload("sparse", payload={"color": "red"}, points=[1, 2, 3])
        same_points(by_id(scroll_all(both.ours, "sparse", with_vectors=True)),
                    by_id(scroll_all(both.oracle, "sparse", with_vectors=True)))
    both.delete_collection("sparse")
    only = {"s": m.SparseVectorParams()}
    both.create_collection("sparse", vectors_config={}, sparse_vectors_config=only)
    both.upsert("sparse", points=m.Batch(ids=[1, 2], vectors={"s": [words(rng), words(rng)]}))
    a, b = both.query_points("sparse", query=words(rng, 30), using="s", with_vectors=True)
    same_points(a.points, b.points)
    refused(400, both.ours.upsert, "sparse", points=[m.PointStruct(
        id=3, vector={"s": m.SparseVector(indices=[1, 1], values=[1.0, 2.0])})])
    refused(400, both.ours.query_points, "sparse", query=[1.0], using="s")
    both.delete_collection("sparse")


def check_collections(client):
    assert client.collection_exists("named") and not client.collection_exists("other")
    info = client.get_collection("named")
    assert info.points_count == 4 and info.config.params.vectors["b-1"].size == 3
    assert [c.name for c in client.get_collections().collections] == ["named"]
    client.create_payload_index("named", "x", m.PayloadSchemaType.INTEGER)
    client.update_collection("named", optimizers_config=m.OptimizersConfigDiff())
    client.delete_collection("named")
    assert not client.collection_exists("named")


def refused(status, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except UnexpectedResponse as e:
        assert e.status_code == status, (status, e)
        assert b'"status":{"error":' in e.content, e.content
        return
    raise AssertionError(f"{call.__name__} {args} {kwargs} was not refused")


def check_refusals(client):
    params = m.VectorParams(size=2, distance=m.Distance.DOT)
    client.create_collection("c", vectors_config=params)
    refused(409, client.create_collection, "c", vectors_config=params)
    refused(404, client.count, "nowhere")
    refused(404, client.query_points, "nowhere", query=[1.0, 2.0])
    refused(400, client.query_points, "c", query=[1.0])
    refused(400, client.query_points, "c", query=[1.0, 2.0], using="other")
    refused(400, client.upsert, "c", points=[m.PointStruct(id=1, vector=[1.0])])
    refused(400, client.upsert, "c", points=[m.PointStruct(id="no uuid", vector=[1.0, 2.0])])
    refused(400, client.count, "c", count_filter=m.Filter(must=[
        m.FieldCondition(key="t", match=m.MatchText(text="words"))]))
    refused(400, client.create_collection, "m", vectors_config=m.VectorParams(
        size=2, distance=m.Distance.MANHATTAN))


def check_large(both):
    """A payload of many pieces, cut inside characters of two, three and four bytes."""
    both.create_collection("large", vectors_config=m.VectorParams(size=1,
                                                                  distance=m.Distance.DOT))
    text = "x" + "\u00e9\u20ac\U0001f600" * 50000
    both.upsert("large", points=[m.PointStruct(id=2**62, vector=[1.0], payload={"t": text})])
    a, b = both.retrieve("large", ids=[2**62])
    same_points(a, b)
    a, b = both.count("large", count_filter=m.Filter(must=[match("t", text)]))
    assert a.count == b.count == 1


def main():
    warnings.simplefilter("ignore")
    server = Server(sys.argv[1])
    try:
        client = QdrantClient(url=f"http://127.0.0.1:{server.port}")
        both = Both(client, QdrantClient(":memory:"))
        check_distances(both)
        check_sparse(both)
        check_named(both)
        check_collections(client)
        check_large(both)
        check_refusals(client)
    finally:
        status = server.stop()
    assert status == 0, f"the server ended with {status}"
    print("qdrant-client: the server answers as the client's own mode does")


if __name__ == "__main__":
    main()
