#!/usr/bin/env python3
"""Peer libraries on the data, queries and threads that build/bench/ann takes: one process each.

    peers.py --data DIR --metric l2|ip|hamming [--k 10] [--threads 1] [--build-threads N]
             [--only NAME,...] [--cmd NAME=COMMAND ...] [--out FILE]
    peers.py --list

DIR holds base.npy and query.npy, (n, d) float32, float16 or uint8 (hamming: packed bits), and
gt.npy, (m, >= k) int32, made when missing. Each run prints one JSON line, appended to --out:
  {"peer", "data", "threads", "build_threads", "build_s", "index_mb", "points": [[param, recall, qps], ...]}
A point's QPS is the best of three or more passes over the first 1,000 queries. A --cmd program is
run as COMMAND base.npy query.npy gt.npy metric k threads and prints the same line. Peers get all
queries in one call, which spares them a Python call a query; exact scans get one and 256 a call.
table.py makes tables of the lines, plot.py pictures.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time

import numpy as np

QUERIES = 1000
EFS = [10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512]  # as in ann.c
PROBES = [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
# (lists, rows scored again / k)
PROBES_REFINE = [(1, 4), (2, 4), (4, 4), (8, 4), (8, 10), (12, 4), (12, 10), (16, 4), (16, 10),
                 (24, 4), (24, 10), (32, 4), (32, 10), (48, 10), (64, 10), (64, 20), (96, 20),
                 (128, 20), (192, 40), (256, 40)]
NLIST = 1024  # of every IVF peer here, and of vecdb's types beside them


def resident_mb():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def load(path, metric):
    array = np.load(path)
    return np.ascontiguousarray(array, dtype=np.uint8 if metric == "hamming" else np.float32)


def distances(base, queries, metric):
    if metric == "hamming":
        return np.stack([np.bitwise_count(base ^ q).sum(1, dtype=np.int32) for q in queries])
    products = queries @ base.T
    return -products if metric == "ip" else (base * base).sum(1)[None] - 2 * products


def ground_truth(base, queries, k, metric):
    out = np.empty((len(queries), k), np.int32)
    for first in range(0, len(queries), 256):
        d = distances(base, queries[first:first + 256], metric)
        nearest = np.argpartition(d, k, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(d, nearest, 1), axis=1, kind="stable")
        out[first:first + 256] = np.take_along_axis(nearest, order, 1)
    return out


class Run:
    """One measurement's data and settings, and the answer's quality."""

    def __init__(self, args):
        self.metric, self.k = args.metric, args.k
        self.threads, self.build_threads = args.threads, args.build_threads
        self.base = load(args.data + "/base.npy", args.metric)
        self.queries = load(args.data + "/query.npy", args.metric)[:QUERIES]
        self.truth = np.load(args.data + "/gt.npy")[:len(self.queries), :args.k]
        self.dim = self.base.shape[1] * (8 if args.metric == "hamming" else 1)

    def recall(self, found):
        found = np.asarray(found)[:, :self.k]
        if self.metric != "hamming":
            hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), self.truth.tolist()))
            return hits / self.truth.size
        # Many rows are equally far: what is as near as the k-th neighbour counts.
        total = 0
        for query, ids, truth in zip(self.queries, found, self.truth):
            limit = np.bitwise_count(self.base[truth[-1]] ^ query).sum()
            ids = ids[ids >= 0]
            total += (np.bitwise_count(self.base[ids] ^ query).sum(1) <= limit).sum()
        return total / self.truth.size


# ---- The peers. Each takes a Run and gives (search(queries, k, param) -> ids, params) -------------
# once built; the caller times the call.

def hnswlib_(m):
    def build(run):
        import hnswlib
        index = hnswlib.Index(space=run.metric, dim=run.dim)
        index.init_index(max_elements=len(run.base), ef_construction=200, M=m)
        index.set_num_threads(run.build_threads)
        index.add_items(run.base, np.arange(len(run.base)))

        def search(queries, k, ef):
            index.set_ef(max(ef, k))
            return index.knn_query(queries, k, num_threads=run.threads)[0]
        return search, EFS
    return build


def faiss_(spec, params, ef_construction=200):
    """A FAISS index by its factory string; {n} is NLIST, {m2} and {m8} the dimension / 2 and / 8."""
    def build(run):
        import faiss
        faiss.omp_set_num_threads(run.build_threads)
        metric = faiss.METRIC_L2 if run.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        text = spec.format(n=NLIST, m2=run.dim // 2, m8=run.dim // 8)
        index = faiss.index_factory(run.dim, text, metric)
        space = faiss.ParameterSpace()
        if text.startswith("HNSW"):
            space.set_index_parameter(index, "efConstruction", ef_construction)
        index.train(run.base)
        index.add(run.base)
        faiss.omp_set_num_threads(run.threads)

        def search(queries, k, param):
            if params is EFS:
                space.set_index_parameter(index, "efSearch", max(param, k))
            elif params is PROBES:
                faiss.extract_index_ivf(index).nprobe = param
            elif params is PROBES_REFINE:
                faiss.extract_index_ivf(index).nprobe = param[0]
                (index if hasattr(index, "k_factor") else faiss.downcast_index(index)).k_factor = param[1]
            else:  # queries a call; by default FAISS multiplies matrices from 128,000 on
                faiss.cvar.distance_compute_blas_threshold = 20
                return np.concatenate([index.search(queries[i:i + param], k)[1]
                                       for i in range(0, len(queries), param)])
            return index.search(queries, k)[1]
        return search, params
    return build


def faiss_binary(spec, params):
    def build(run):
        import faiss
        faiss.omp_set_num_threads(run.build_threads)
        index = faiss.index_binary_factory(run.dim, spec.format(n=NLIST))
        if hasattr(index, "hnsw"):
            index.hnsw.efConstruction = 200
        index.train(run.base)
        index.add(run.base)
        faiss.omp_set_num_threads(run.threads)

        def search(queries, k, param):
            if params is EFS:
                index.hnsw.efSearch = max(param, k)
            elif params is PROBES:
                index.nprobe = param
            else:
                return np.concatenate([index.search(queries[i:i + param], k)[1]
                                       for i in range(0, len(queries), param)])
            return index.search(queries, k)[1]
        return search, params
    return build


def usearch_(dtype):
    def build(run):
        from usearch.index import Index
        metric = {"l2": "l2sq", "ip": "ip", "hamming": "hamming"}[run.metric]
        index = Index(ndim=run.dim, metric=metric, dtype=dtype, connectivity=16, expansion_add=200)
        index.add(np.arange(len(run.base)), run.base, threads=run.build_threads)

        def search(queries, k, ef):
            index.expansion_search = max(ef, k)
            return index.search(queries, k, threads=run.threads).keys.astype(np.int64)
        return search, EFS
    return build


def glass_(quantizer, refine=""):
    def build(run):
        import glass
        glass.set_num_threads(run.build_threads)
        metric = run.metric.upper()
        graph = glass.Index("HNSW", metric, "FP32", 32, 200).build(run.base)
        searcher = glass.Searcher(graph, run.base, metric, quantizer, refine)
        searcher.optimize(run.build_threads)

        def search(queries, k, ef):
            searcher.set_ef(max(ef, k))
            found = searcher.batch_search(queries, k, run.threads)
            found = found[0] if isinstance(found, tuple) else found
            return np.asarray(found).reshape(len(queries), k)
        return search, EFS
    return build


def svs_(run):
    import svs
    distance = svs.DistanceType.L2 if run.metric == "l2" else svs.DistanceType.MIP
    parameters = svs.VamanaBuildParameters(alpha=1.2 if run.metric == "l2" else 0.95,
                                           graph_max_degree=64, window_size=200)
    index = svs.Vamana.build(parameters, run.base, distance, num_threads=run.build_threads)
    index.num_threads = run.threads

    def search(queries, k, ef):
        index.search_window_size = max(ef, k)
        return index.search(queries, k)[0]
    return search, EFS


def symqg(degree):
    def build(run):
        from rabitqlib import SymqgIndex
        index = SymqgIndex(run.dim, degree, run.metric)
        index.build(run.base, 200, run.build_threads)
        return lambda q, k, ef: index.search_batch(q, k, max(ef, k), run.threads)[0], EFS
    return build


def rabitq_ivf(bits):
    def build(run):
        import faiss
        import rabitqlib
        faiss.omp_set_num_threads(run.build_threads)
        means = faiss.Kmeans(run.dim, NLIST, niter=10, max_points_per_centroid=64)
        means.train(run.base)
        lists = means.index.search(run.base, 1)[1][:, 0].astype(np.uint32)
        index = rabitqlib.IvfIndex(run.dim, len(run.base), NLIST, bits, run.metric)
        index.build(run.base, means.centroids, lists, run.build_threads)
        return lambda q, k, n: index.search(q, k, n, None, run.threads)[0], PROBES
    return build


def alaya(run):
    import alayalite
    index = alayalite.Client().create_index("x", metric=run.metric, quantization_type="sq8",
                                            capacity=len(run.base) + 1)
    index.fit(run.base, ef_construction=200, num_threads=run.build_threads)
    return (lambda q, k, ef: index.batch_search(q, k, ef_search=max(ef, k),
                                                num_threads=run.threads)), EFS


def zvec_(quantizer, disk=False):
    def build(run):
        import zvec
        zvec.init(log_level=zvec.LogLevel.ERROR, query_threads=run.threads,
                  optimize_threads=run.build_threads)
        metric = zvec.MetricType.L2 if run.metric == "l2" else zvec.MetricType.IP
        extra = {"quantize_type": getattr(zvec.QuantizeType, quantizer)} if quantizer else {}
        index = (zvec.DiskAnnIndexParam(metric_type=metric, max_degree=32, list_size=100) if disk else
                 zvec.HnswIndexParam(metric_type=metric, m=32, ef_construction=200, **extra))
        schema = zvec.CollectionSchema(
            "x", vectors=zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, run.dim, index))
        collection = zvec.create_and_open(tempfile.mkdtemp() + "/z", schema)
        for first in range(0, len(run.base), 1000):
            collection.insert([zvec.Doc(id=str(first + i), vectors={"v": row})
                               for i, row in enumerate(run.base[first:first + 1000])])
        collection.flush()
        collection.optimize(zvec.OptimizeOption(concurrency=run.build_threads))

        def search(queries, k, ef):
            param = (zvec.DiskAnnQueryParam(list_size=max(ef, k)) if disk else
                     zvec.HnswQueryParam(ef=max(ef, k), is_using_refiner=bool(quantizer)))
            return [[int(d.id) for d in collection.query(
                zvec.VectorQuery("v", vector=q, param=param), topk=k)]
                    for q in queries]
        return search, EFS
    return build


PEERS = {
    "hnswlib-M16": hnswlib_(16),
    "hnswlib-M32": hnswlib_(32),
    "symqg-32": symqg(32),
    "symqg-64": symqg(64),
    "faiss-HNSW32": faiss_("HNSW32", EFS),
    "faiss-HNSW32-SQ8": faiss_("HNSW32,SQ8", EFS),
    "usearch-f32": usearch_("f32"),
    "usearch-bf16": usearch_("bf16"),
    "usearch-i8": usearch_("i8"),
    "glass-FP32": glass_("FP32"),
    "glass-BF16": glass_("BF16"),
    "glass-SQ8U": glass_("SQ8U", "FP32"),
    "svs-f32": svs_,
    "alaya-sq8": alaya,
    "zvec": zvec_(None),
    "zvec-int8": zvec_("INT8"),
    "zvec-DISK": zvec_(None, disk=True),
    "rabitq-ivf-5bit": rabitq_ivf(5),
    # FAISS's indexes by the names that vecdb's types have, with the same parameters.
    "faiss-FLAT": faiss_("Flat", [1, 256]),
    "faiss-IVF_FLAT": faiss_("IVF{n},Flat", PROBES),
    "faiss-IVF_SQ8": faiss_("IVF{n},SQ8", PROBES),
    "faiss-IVF_PQ-x4fs": faiss_("IVF{n},PQ{m2}x4fs", PROBES),
    "faiss-IVF_PQ-x4fs-refine": faiss_("IVF{n},PQ{m2}x4fs,RFlat", PROBES_REFINE),
    "faiss-IVF_PQ-x8": faiss_("IVF{n},PQ{m8}x8", PROBES),
    "faiss-IVF_PQ-x8-refine": faiss_("IVF{n},PQ{m8}x8,RFlat", PROBES_REFINE),
    "faiss-OPQ-x4fs-refine": faiss_("OPQ{m2},IVF{n},PQ{m2}x4fs,RFlat", PROBES_REFINE),
    "faiss-IVF_RABITQ": faiss_("IVF{n},RaBitQ", PROBES),
    "faiss-IVF_RABITQ-refine": faiss_("IVF{n},RaBitQ,RFlat", PROBES_REFINE),
    "faiss-IVF_RABITQfs-refine": faiss_("IVF{n},RaBitQfs,RFlat", PROBES_REFINE),
    "faiss-IVF_HNSW": faiss_("IVF{n}_HNSW32,Flat", PROBES),
    # Bits, --metric hamming.
    "faiss-BIN_FLAT": faiss_binary("BFlat", [1, 256]),
    "faiss-BIN_IVF": faiss_binary("BIVF{n}", PROBES),
    "faiss-BIN_HNSW": faiss_binary("BHNSW16", EFS),
    "usearch-b1": usearch_("b1"),
}


# ---- Running ---------------------------------------------------------------------------------------

def measure(name, args):
    """In the peer's own process: builds, sweeps and prints the line."""
    run = Run(args)
    before = resident_mb()
    start = time.time()
    search, params = PEERS[name](run)
    built = time.time() - start
    index_mb = resident_mb() - before
    points = []
    for param in params:
        recall = run.recall(search(run.queries, run.k, param))
        seconds, end = [], time.time() + 2
        while len(seconds) < 3 or (time.time() < end and len(seconds) < 7):
            start = time.perf_counter()
            search(run.queries, run.k, param)
            seconds.append(time.perf_counter() - start)
            if seconds[0] > 8:
                break
        points.append([param, round(recall, 4), round(len(run.queries) / min(seconds), 1)])
        if recall > 0.9985 and params in (EFS, PROBES, PROBES_REFINE):
            break
    print(json.dumps({"peer": name, "data": os.path.basename(args.data.rstrip("/")),
                      "threads": run.threads, "build_threads": run.build_threads,
                      "build_s": round(built, 2), "index_mb": round(index_mb, 1),
                      "points": points}), flush=True)


def line_of(command, name, limit):
    """The JSON line that a program prints, or one that says why there is none."""
    try:
        p = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"peer": name, "error": f"not done in {limit} s"}
    lines = [line for line in p.stdout.splitlines() if line.startswith("{")]
    if not lines:
        last = (p.stderr.strip().splitlines() or [f"exit status {p.returncode}"])[-1]
        return {"peer": name, "error": last}
    return dict(json.loads(lines[-1]), peer=name)


def compare(args):
    out = open(args.out, "a") if args.out else sys.stdout
    data = os.path.basename(args.data.rstrip("/"))
    same = ["--data", args.data, "--metric", args.metric, "--k", str(args.k), "--threads",
            str(args.threads), "--build-threads", str(args.build_threads)]
    runs = [(n, [sys.executable, __file__, *same, "--one", n]) for n in args.only.split(",") if n]
    for text in args.cmd:
        name, command = text.split("=", 1)
        program, *options = shlex.split(command)
        files = [f"{args.data}/{f}.npy" for f in ("base", "query", "gt")]
        runs.append((name, [program, *files, args.metric, str(args.k), str(args.threads),
                            "--build-threads", str(args.build_threads), *options]))
    for name, command in runs:
        print(json.dumps(dict(line_of(command, name, args.limit), data=data)), file=out, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--metric", default="l2")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--build-threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="")
    parser.add_argument("--cmd", action="append", default=[])
    parser.add_argument("--limit", type=int, default=1800, help="seconds for one peer")
    parser.add_argument("--out")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        print("\n".join(PEERS))
    elif args.one:
        measure(args.one, args)
    else:
        truth = args.data + "/gt.npy"
        if not os.path.exists(truth):
            base, queries = (load(f"{args.data}/{f}.npy", args.metric) for f in ("base", "query"))
            np.save(truth, ground_truth(base, queries, 100, args.metric))
        compare(args)


if __name__ == "__main__":
    main()
