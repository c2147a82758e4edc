"""Documents to a served collection: embed in batches, insert in batches, with progress.

    python examples/text/ingest.py FILE.jsonl [--server URL] [--embeddings URL] [--collection NAME]

Each line is {"doc_id": 1, "tenant_id": 3, "category": "...", "text": "..."}. The collection is made
if it is not there. Batches are upserted, so a run that was cut short can be repeated.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request

BATCH = 500


def post(url, value, method="POST"):
    body = json.dumps(value).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        detail = json.load(error).get("error", {})
        if error.code == 409 and method == "POST" and detail.get("code") == "EXISTS":
            return None
        sys.exit(f"{method} {url}: {error.code} {detail.get('code')}: {detail.get('message')}")


def make_collection(server, name):
    post(f"{server}/v1/collections", {"name": name, "fields": [
        {"name": "doc_id", "type": "INT64", "primary_key": True},
        {"name": "tenant_id", "type": "INT64"},
        {"name": "category", "type": "VARCHAR", "max_length": 64},
        {"name": "text", "type": "VARCHAR", "max_length": 65535},
        {"name": "embedding", "type": "FLOAT_VECTOR", "dim": 384, "metric": "COSINE"},
    ]})


def write(options, rows):
    texts = [row["text"] for row in rows]
    answer = post(f"{options.embeddings}/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": texts})
    for row, item in zip(rows, answer["data"]):
        row["embedding"] = item["embedding"]
    post(f"{options.server}/v1/collections/{options.collection}/rows", {"rows": rows}, "PUT")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--embeddings", default="http://127.0.0.1:8001")
    parser.add_argument("--collection", default="documents")
    options = parser.parse_args()
    make_collection(options.server, options.collection)
    start, done, rows = time.time(), 0, []
    with open(options.file, encoding="utf-8") as lines:
        for line in lines:
            rows.append(json.loads(line))
            if len(rows) == BATCH:
                write(options, rows)
                done += len(rows)
                rows = []
                print(f"\r{done} documents, {done / (time.time() - start):.0f}/s", end="", flush=True)
    if rows:
        write(options, rows)
        done += len(rows)
    print(f"\r{done} documents in {time.time() - start:.1f} s")


if __name__ == "__main__":
    main()
