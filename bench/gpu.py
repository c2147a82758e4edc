#!/usr/bin/env python3
"""Searches on a GPU: vecdb with its module beside cuVS and FAISS on the same card, in one run.

    gpu.py --data DIR [--metric l2|ip] [--k 10] [--queries 10000] [--only NAME,...] [--out FILE]

DIR is as peers.py takes it; queries are taken again from the first when there are too few. For each
index and each number of queries a call it prints queries a second at recall 0.90, 0.95 and 0.99,
between the measured points, and how long the build took; --out gets all points as JSON lines. A
point's time is the best of three passes, results copied back to the host. vecdb is asked through
its Python package, of which a call takes some ten microseconds: batches of one are judged by that.
Where there is no device, no module or no peer, it says so and goes on without. The peers' part has
never run: no device could be had (gpu/README.md).
"""
import argparse
import importlib
import json
import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../examples/python"))
from peers import ground_truth, load

BATCHES = [1, 10, 128, 1000, 10000]
EFFORTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
RECALLS = [0.90, 0.95, 0.99]
NLIST = 1024
SECONDS = 2.0  # of a pass at most, beyond one batch


class Data:
    def __init__(self, args):
        self.metric, self.k, self.dir = args.metric, args.k, args.data
        self.base = load(args.data + "/base.npy", args.metric)
        queries = load(args.data + "/query.npy", args.metric)
        truth = args.data + "/gt.npy"
        found = (np.load(truth) if os.path.exists(truth)
                 else ground_truth(self.base, queries, self.k, self.metric))
        again = np.arange(args.queries) % min(len(queries), len(found))
        self.queries, self.truth = queries[again], found[again, :self.k]

    def recall(self, found):
        pairs = zip(found.tolist(), self.truth[:len(found)].tolist())
        return sum(len(set(a) & set(b)) for a, b in pairs) / (len(found) * self.k)


def measured(data, search, effort, batch):
    """Recall, and queries a second. `search` gives rows for some queries, on the host."""
    batch = min(batch, len(data.queries))
    calls = [data.queries[i:i + batch] for i in range(0, len(data.queries) - batch + 1, batch)]
    search(calls[0], effort)  # copies rows, makes what is made once
    best, found = 0, []
    for _ in range(3):
        found, began = [], time.perf_counter()
        for queries in calls:
            found.append(search(queries, effort))
            if time.perf_counter() - began > SECONDS:
                break
        seconds = time.perf_counter() - began
        best = max(best, sum(map(len, found)) / seconds)
    return data.recall(np.concatenate(found)), best


# ---- vecdb ---------------------------------------------------------------------------------------

def vecdb_open(device, rows):
    import vecdb
    return vecdb, vecdb.Database(":memory:", device=device, seal_rows=rows, index_rows=1)


def vecdb_index(vecdb, database, data, kind):
    """Builds one, and gives a search of it that must not stay with the processor."""
    name = "c" + kind.split("(")[0].lower()
    vector = vecdb.Field("v", vecdb.Type.FLOAT_VECTOR, dim=data.base.shape[1],
                         metric={"l2": vecdb.Metric.L2, "ip": vecdb.Metric.IP}[data.metric])
    key = vecdb.Field("id", vecdb.Type.INT64, primary_key=True)
    rows = database.create(name, [key, vector])
    rows.insert({"id": np.arange(len(data.base)), "v": data.base})
    rows.flush()
    rows.create_index(kind)
    effort = "ef" if kind.startswith("HNSW") else "nprobe" if kind.startswith("IVF") else None

    def search(queries, much):
        how = {effort: max(much, data.k) if effort == "ef" else much} if effort else {}
        hits = rows.search(queries, data.k, info=True, **how)
        search.device += hits.info["segments_device"]
        return np.asarray(hits.ids).reshape(len(queries), -1)[:, :data.k]

    search.device = 0
    return search


def vecdb_all(data, device, kinds):
    vecdb, database = vecdb_open(device, len(data.base))
    print("vecdb on", database.device().get("name", "the processor"), flush=True)
    for kind in kinds:
        began = time.perf_counter()
        search = vecdb_index(vecdb, database, data, kind)
        while True:  # a thread copies the rows meanwhile
            search(data.queries, 1)
            if search.device or not database.device() or database.device()["failures"]:
                break
        yield "vecdb " + kind, time.perf_counter() - began, search, len(kind.split("(")) > 1
        print("  searched on the device:", search.device, flush=True)


# ---- Peers ---------------------------------------------------------------------------------------

def cuvs_all(data):
    cupy = importlib.import_module("cupy")
    base = cupy.asarray(data.base)
    metric = {"l2": "sqeuclidean", "ip": "inner_product"}[data.metric]
    for name, build, search in (
            ("brute_force", {}, None), ("cagra", {"graph_degree": 64}, "itopk_size"),
            ("ivf_flat", {"n_lists": NLIST}, "n_probes"),
            ("ivf_pq", {"n_lists": NLIST}, "n_probes")):
        part = importlib.import_module("cuvs.neighbors." + name)
        began = time.perf_counter()
        index = (part.build(base, metric=metric) if search is None
                 else part.build(part.IndexParams(metric=metric, **build), base))
        cupy.cuda.Device().synchronize()

        def ask(queries, much, part=part, index=index, search=search):
            there = cupy.asarray(queries)
            if search is None:
                return cupy.asnumpy(cupy.asarray(part.search(index, there, data.k)[1]))
            if search == "itopk_size":
                much = max(32, much)
            how = part.SearchParams(**{search: much})
            return cupy.asnumpy(cupy.asarray(part.search(how, index, there, data.k)[1]))

        yield "cuVS " + name, time.perf_counter() - began, ask, search is not None


def faiss_all(data):
    faiss = importlib.import_module("faiss")
    if not hasattr(faiss, "StandardGpuResources"):
        raise ImportError("this FAISS is one without GPUs")
    gpu, dim = faiss.StandardGpuResources(), data.base.shape[1]
    metric = {"l2": faiss.METRIC_L2, "ip": faiss.METRIC_INNER_PRODUCT}[data.metric]
    for name in ("Flat", f"IVF{NLIST},Flat", f"IVF{NLIST},PQ{dim // 4}x8"):
        began = time.perf_counter()
        index = faiss.index_cpu_to_gpu(gpu, 0, faiss.index_factory(dim, name, metric))
        index.train(data.base)
        index.add(data.base)

        def ask(queries, much, index=index, lists="IVF" in name):
            if lists:
                index.nprobe = much
            return index.search(queries, data.k)[1]

        yield "FAISS " + name, time.perf_counter() - began, ask, "IVF" in name


# ---- The table -----------------------------------------------------------------------------------

def at_recall(points, recall):
    """Queries a second at a recall, between the points on either side; None: it is not reached."""
    points = sorted(points)
    for low, high in zip(points, points[1:]):
        if low[0] < recall <= high[0]:
            share = (recall - low[0]) / (high[0] - low[0])
            return low[1] * (high[1] / low[1]) ** share
    return max((qps for found, qps in points if found >= recall), default=None)


def report(data, name, build, search, tunable, out):
    for batch in BATCHES:
        points = [measured(data, search, effort, batch)
                  for effort in (EFFORTS if tunable else EFFORTS[:1])]
        cells = [at_recall(points, recall) for recall in RECALLS]
        print(f"{name:28} {build:8.1f} s  batch {batch:6}",
              *(f"{cell:12.0f}" if cell else f"{'-':>12}" for cell in cells), flush=True)
        if out:
            out.write(json.dumps({"peer": name, "data": data.dir, "batch": batch, "build_s": build,
                                  "points": points}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--metric", choices=("l2", "ip"), default="l2")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--queries", type=int, default=BATCHES[-1])
    parser.add_argument("--device", default="gpu", help="as vecdb_options.device")
    parser.add_argument("--only", default="vecdb,cuvs,faiss")
    parser.add_argument("--kinds", default=f"FLAT HNSW(m=32) IVF_FLAT(nlist={NLIST}) "
                        f"IVF_PQ(nlist={NLIST}) IVF_RABITQ(nlist={NLIST})")
    parser.add_argument("--out")
    args = parser.parse_args()
    sources = {"vecdb": lambda data: vecdb_all(data, args.device, args.kinds.split()),
               "cuvs": cuvs_all, "faiss": faiss_all}
    try:
        vecdb_open(args.device, 1000)[1].close()
    except Exception as error:  # no library, module, driver or device: there is nothing to measure
        print(f"gpu.py: nothing is measured: {error}")
        return
    data = Data(args)
    out = open(args.out, "a") if args.out else None
    print(f"{'':28} {'build':>10}  {'':12}", *(f"recall {x:.2f}".rjust(12) for x in RECALLS))
    for name in args.only.split(","):
        try:
            for index in sources[name](data):
                report(data, *index, out)
        except ImportError as error:
            print(f"{name}: not here: {error}")


if __name__ == "__main__":
    main()
