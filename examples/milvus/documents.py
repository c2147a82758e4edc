"""A search service as it is written for Milvus 2.3: worker processes embed and insert documents,
FastAPI answers searches. Nothing in it knows vecdb: MILVUS_HOST and MILVUS_PORT say where the
server is, EMBEDDING_URL where the model is (without it, words are hashed, which needs no model).

    vecdbd --data docs-db --listen 127.0.0.1:19530
    python documents.py ingest FILE.jsonl       lines of {"text", "tenant_id", "category"}
    uvicorn documents:app --port 9000
    curl -X POST http://localhost:9000/search -H 'Content-Type: application/json' \\
      -d '{"query": "latest trends in AI research", "top_k": 5, "tenant_id": 3}'
"""
import hashlib
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import List, Optional

import numpy as np
import requests
from fastapi import FastAPI
from pydantic import BaseModel
from pymilvus import (Collection, CollectionSchema, DataType, FieldSchema, connections, utility)

HOST = os.environ.get("MILVUS_HOST", "127.0.0.1")
PORT = os.environ.get("MILVUS_PORT", "19530")
EMBEDDING_URL = os.environ.get("EMBEDDING_URL", "")
NAME = os.environ.get("MILVUS_COLLECTION", "documents")
DIM = 384
BATCH = 500


def embed(texts: List[str]) -> List[List[float]]:
    if EMBEDDING_URL:
        answer = requests.post(f"{EMBEDDING_URL}/v1/embeddings", timeout=60,
                               json={"model": "all-MiniLM-L6-v2", "input": texts})
        answer.raise_for_status()
        return [item["embedding"] for item in answer.json()["data"]]
    vectors = np.zeros((len(texts), DIM), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            code = int.from_bytes(hashlib.md5(word.encode()).digest()[:8], "little")
            vectors[row, code % DIM] += 1.0 if code >> 60 & 1 else -1.0
        vectors[row] /= max(float(np.linalg.norm(vectors[row])), 1e-9)
    return vectors.tolist()


def create() -> Collection:
    if utility.has_collection(NAME):
        utility.drop_collection(NAME)
    schema = CollectionSchema([
        FieldSchema(name="doc_id", dtype=DataType.INT64, is_primary=True, auto_id=False),
        FieldSchema(name="embedding", dtype=DataType.FLOAT_VECTOR, dim=DIM),
        FieldSchema(name="tenant_id", dtype=DataType.INT64),
        FieldSchema(name="category", dtype=DataType.VARCHAR, max_length=128),
    ], description="documents of many tenants")
    return Collection(NAME, schema)


def insert_batch(first: int, documents: List[dict]) -> int:
    """Runs in a worker process, which has a connection of its own."""
    connections.connect("default", host=HOST, port=PORT)
    result = Collection(NAME).insert([
        list(range(first, first + len(documents))),
        embed([d["text"] for d in documents]),
        [d["tenant_id"] for d in documents],
        [d["category"] for d in documents],
    ])
    return result.insert_count


def ingest(documents: List[dict], workers: int = 2) -> int:
    connections.connect("default", host=HOST, port=PORT)
    collection = create()
    firsts = range(0, len(documents), BATCH)
    with ProcessPoolExecutor(workers) as pool:
        total = sum(pool.map(insert_batch, firsts,
                             [documents[i:i + BATCH] for i in firsts]))
    collection.flush()
    collection.create_index("embedding", {
        "index_type": os.environ.get("MILVUS_INDEX", "IVF_FLAT"), "metric_type": "L2",
        "params": {"nlist": 64}})
    collection.load()
    return total


class Query(BaseModel):
    query: str
    top_k: int = 5
    tenant_id: Optional[int] = None


app = FastAPI()


@app.post("/search")
def search(request: Query):
    if not connections.has_connection("default"):
        connections.connect("default", host=HOST, port=PORT)
    expr = None if request.tenant_id is None else f"tenant_id == {request.tenant_id}"
    hits = Collection(NAME).search(
        data=embed([request.query]), anns_field="embedding",
        param={"metric_type": "L2", "params": {"nprobe": 16}}, limit=request.top_k, expr=expr,
        consistency_level="Strong", output_fields=["tenant_id", "category"])[0]
    return {"query": request.query, "hits": [
        {"doc_id": hit.id, "score": hit.distance,
         "metadata": {"tenant_id": hit.entity.get("tenant_id"),
                      "category": hit.entity.get("category")}} for hit in hits]}


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "ingest":
        sys.exit(__doc__)
    with open(sys.argv[2], encoding="utf-8") as lines:
        print(ingest([json.loads(line) for line in lines]), "documents")
