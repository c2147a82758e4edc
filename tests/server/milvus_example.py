"""examples/milvus/documents.py against a running vecdbd: ingestion by two processes, and its front
end, whose answers are held against distances computed here."""
import os
import sys
import warnings

os.environ["MILVUS_PORT"] = sys.argv[1]
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../examples/milvus"))
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402

import documents  # noqa: E402

WORDS = ["latest", "trends", "in", "ai", "research", "football", "results", "market", "weather",
         "rain", "sun", "neural", "networks", "election"]


def main():
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, 6)) for _ in range(1200)]
    rows = [{"text": t, "tenant_id": i % 4, "category": ["tech", "news"][i % 2]}
            for i, t in enumerate(texts)]
    assert documents.ingest(rows) == 1200
    vectors = np.array(documents.embed(texts), dtype=np.float64)
    query = "latest trends in AI research"
    exact = ((vectors - np.array(documents.embed([query])[0])) ** 2).sum(axis=1)
    client = TestClient(documents.app)
    found = 0
    for tenant in range(4):
        answer = client.post("/search", json={"query": query, "top_k": 5, "tenant_id": tenant})
        assert answer.status_code == 200 and answer.json()["query"] == query
        hits = answer.json()["hits"]
        assert len(hits) == 5
        best = sorted(exact[tenant::4])[:5]
        for hit in hits:
            assert hit["metadata"] == {"tenant_id": tenant,
                                       "category": rows[hit["doc_id"]]["category"]}
            assert hit["doc_id"] % 4 == tenant
            assert abs(hit["score"] - exact[hit["doc_id"]]) < 1e-4
            found += hit["score"] <= best[-1] + 1e-4
    assert found >= 16, found
    print("milvus_example: ok")


if __name__ == "__main__":
    main()
