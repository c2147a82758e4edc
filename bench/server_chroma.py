"""server_chroma.py PORT DATA BODIES - fills a Chroma server with DATA/base.npy, unless it is full, and
writes a search for each of 1,000 queries to BODIES, as server.sh sends them. Prints their path."""

import json
import sys
import time

import chromadb
import numpy

TENANTS, BATCH, K = 10, 5000, 10


def connect(port):
    for _ in range(300):
        try:
            return chromadb.HttpClient(host="127.0.0.1", port=port)
        except Exception:  # pylint: disable=broad-except  # it has not begun to listen
            time.sleep(0.1)
    sys.exit("chroma does not start")


def main():
    port, data, bodies = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    base = numpy.load(data + "/base.npy").astype(numpy.float32)
    queries = numpy.load(data + "/query.npy").astype(numpy.float32)[:1000]
    collection = connect(port).get_or_create_collection(
        "bench", configuration={"hnsw": {"space": "ip"}}, embedding_function=None)
    for at in range(collection.count() // BATCH * BATCH, len(base), BATCH):
        rows = range(at, min(at + BATCH, len(base)))
        collection.upsert(ids=[str(i) for i in rows], embeddings=base[at:at + BATCH],
                       metadatas=[{"tenant_id": i % TENANTS} for i in rows])
    with open(bodies, "w", encoding="ascii") as out:
        for i, query in enumerate(queries):
            out.write(json.dumps({
                "query_embeddings": [[float(f"{x:.6g}") for x in query]], "n_results": K,
                "where": {"tenant_id": i % TENANTS}, "include": ["distances"]}) + "\n")
    print("/api/v2/tenants/default_tenant/databases/default_database/collections/"
          f"{collection.id}/query")


main()
