"""ingest_zvec.py - rows per second of zvec's insert + flush on the same data as ingest.c.

    ingest_zvec.py BASE.npy [ROWS [RUNS]]

Batches of 1,000 rows (zvec's limit is 1,024), one vector field and the id; prints one JSON line
with the median. Needs numpy and zvec.
"""
import json
import shutil
import statistics
import sys
import tempfile
import time

import numpy as np
import zvec


def run(base):
    folder = tempfile.mkdtemp()
    path = folder + "/collection"
    schema = zvec.CollectionSchema(
        name="bench",
        vectors=zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, base.shape[1]),
    )
    collection = zvec.create_and_open(path=path, schema=schema)
    docs = [zvec.Doc(id=str(i), vectors={"v": row}) for i, row in enumerate(base.tolist())]
    start = time.perf_counter()
    for first in range(0, len(docs), 1000):
        collection.insert(docs[first:first + 1000])
    inserted = time.perf_counter()
    collection.flush()
    flushed = time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    return len(docs) / (inserted - start), len(docs) / (flushed - start)


def main():
    base = np.ascontiguousarray(np.load(sys.argv[1]), dtype=np.float32)
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else len(base)
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    results = [run(base[:rows]) for _ in range(runs)]
    print(json.dumps({
        "zvec_insert_rows_s": round(statistics.median(r[0] for r in results)),
        "zvec_insert_flush_rows_s": round(statistics.median(r[1] for r in results)),
        "runs": [[round(a), round(b)] for a, b in results],
    }))


main()
