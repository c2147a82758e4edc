#!/usr/bin/env python3
"""Filtered search of other libraries, asked as build/bench/filtered asks vecdb: same data, same filters.

    peers_filtered.py --data DIR --metric l2|ip --shares 50,10,1,0.1 [--correlated] [--k 10]
                      [--only NAME,...] [--cmd COMMAND] [--include DIR,...] [--out FILE]
                      [--indexes DIR [--build]]
    peers_filtered.py --fetch FOLDER

One thread. Shares are percent. Random: one filter for all queries, "hash of the row number < N".
Correlated: eight anchor queries, and the 25 queries nearest to each search among the rows nearest to
(near) or farthest from (far) their anchor. Prints a JSON line for each peer, share and kind with the
points [param, recall, qps] of a sweep, which ends at recall .95, the point that counts (the others are
passes made once); --cmd runs build/bench/filtered beside them, at its default setting. --indexes keeps
the peers' indexes in a folder, so that a run can come in pieces; --build only makes them. FAISS takes
an IDSelectorBitmap, zvec an expression on a number per row. hnswlib and USearch are compiled from
their headers (peers_filtered.cc), found in the folders of --include; --fetch brings these from PyPI
and prints the folders.
"""
import argparse
import ctypes
import json
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time

import numpy as np

import peers

SCALE, QUERIES, ANCHORS, NEIGHBOURS = 1_000_000, 200, 8, 25  # as in filtered.c
EFS = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024]
PROBES = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
RECALL = 0.95  # where sweeps end
PASSES, SECONDS = (3, 7), 2  # as in bench_run.c: three at least, up to seven within two seconds
SOURCES = [("hnswlib", "0.8.0", ""), ("usearch", "2.26.6", "/include")]  # and where headers are
LIMIT = 1  # seconds of one pass above which a sweep ends: 200 queries a second


def hashes(n):
    mixed = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(32)) % np.uint64(SCALE)).astype(np.int32)


class Question:
    """Groups of queries, each with the number per row that its filters look at."""

    def __init__(self, args):
        self.metric, self.k = args.metric, args.k
        self.include, self.args = args.include.split(","), args
        self.base = peers.load(args.data + "/base.npy", args.metric)
        queries = peers.load(args.data + "/query.npy", args.metric)
        if not args.correlated:
            self.groups = [(queries[:QUERIES], hashes(len(self.base)))]
            return
        self.groups = []
        for a in range(ANCHORS):
            anchor = queries[a * (len(queries) // ANCHORS)]
            order = self.order(self.base, anchor)
            ranks = np.empty(len(order), np.int32)
            ranks[order] = np.arange(len(order), dtype=np.int64) * SCALE // len(order)
            near = self.order(queries, anchor)[:NEIGHBOURS]
            self.groups.append((np.ascontiguousarray(queries[near]), ranks))

    def order(self, rows, query):
        rows, query = rows.astype(np.float64), query.astype(np.float64)
        d = -(rows @ query) if self.metric == "ip" else ((rows - query) ** 2).sum(1)
        return np.argsort(d, kind="stable")

    def truth(self, share, kind):
        """Per group the mask and the rows that a perfect answer holds."""
        limit = int(share / 100 * SCALE + 0.5)
        answers = []
        for queries, numbers in self.groups:
            mask = numbers >= SCALE - limit if kind == "far" else numbers < limit
            rows = np.flatnonzero(mask)
            k = min(self.k, len(rows))
            d = peers.distances(self.base[rows], queries, self.metric)
            nearest = np.argsort(d, axis=1, kind="stable")[:, :k]
            answers.append((queries, mask, rows[nearest]))
        return answers


# ---- Peers: build(question) -> {variant: (search(queries, k, param, mask, where) -> ids, params)} --

def kept(question, name):
    """Where an index is kept, or is to be made; whether it is there."""
    if not question.args.indexes:
        return tempfile.mkdtemp() + "/" + name, False
    os.makedirs(question.args.indexes, exist_ok=True)
    data = os.path.basename(question.args.data.rstrip("/"))
    path = f"{question.args.indexes}/{data}-{name}"
    return path, os.path.exists(path)


def bitmap(mask):
    return np.packbits(mask, bitorder="little")


def faiss_(question):
    import faiss
    metric = faiss.METRIC_L2 if question.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    dim, n = question.base.shape[1], len(question.base)

    def make(spec, params_of):
        path, there = kept(question, "faiss-" + spec)
        if there:
            index = faiss.read_index(path)
        else:
            index = faiss.index_factory(dim, spec, metric)
            if hasattr(index, "hnsw"):
                index.hnsw.efConstruction = 200
            faiss.omp_set_num_threads(os.cpu_count())
            index.train(question.base)
            index.add(question.base)
            faiss.write_index(index, path)
        faiss.omp_set_num_threads(1)

        def search(queries, k, param, mask, _):
            bits = bitmap(mask)
            selector = faiss.IDSelectorBitmap(n, faiss.swig_ptr(bits))
            return index.search(queries, k, params=params_of(faiss, selector, param))[1]
        return search

    return {
        "faiss-HNSW32": (make("HNSW32", lambda f, s, e: f.SearchParametersHNSW(sel=s, efSearch=e)), EFS),
        "faiss-IVF1024": (make("IVF1024,Flat", lambda f, s, e: f.SearchParametersIVF(sel=s, nprobe=e)),
                          PROBES),
        "faiss-FLAT": (make("Flat", lambda f, s, e: f.SearchParameters(sel=s)), [0]),
    }


def compiled(name, m):
    """hnswlib or USearch, compiled."""
    def build(question):
        here = os.path.dirname(os.path.abspath(__file__))
        library, there = kept(question, "peers.so")
        folders = [f"-I{folder}" for folder in question.include]
        compile_it = ["c++", "-std=c++17", "-O3", "-march=native", "-ffast-math", "-shared", "-fPIC",
                      "-pthread", *folders, "-DUSEARCH_USE_NUMKONG=0", "-DUSEARCH_USE_OPENMP=0",
                      "-DUSEARCH_USE_FP16LIB=0", "-w", "-o", library, here + "/peers_filtered.cc"]
        if not there:
            subprocess.run(compile_it, check=True)
        lib = ctypes.CDLL(library)
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        make, ask = getattr(lib, name + "_build"), getattr(lib, name + "_search")
        make.restype = pointer
        make.argtypes = [pointer, size, size, ctypes.c_int, size, size, size, ctypes.c_char_p,
                         ctypes.c_int]
        ask.argtypes = [pointer, pointer, size, size, size, size, pointer, pointer]
        base = question.base
        path, there = kept(question, name)
        handle = make(base.ctypes.data, len(base), base.shape[1], question.metric == "ip", m, 200,
                      os.cpu_count(), path.encode(), there)

        def search(queries, k, ef, mask, _):
            bits = np.zeros(len(mask) // 64 * 8 + 8, np.uint8)
            packed = bitmap(mask)
            bits[:len(packed)] = packed
            ids = np.empty((len(queries), k), np.int64)
            ask(handle, queries.ctypes.data, len(queries), queries.shape[1], k, ef, bits.ctypes.data,
                ids.ctypes.data)
            return ids
        return {name: (search, EFS)}
    return build


def zvec_(question):
    import zvec
    zvec.init(log_level=zvec.LogLevel.ERROR, query_threads=1, optimize_threads=os.cpu_count())
    metric = zvec.MetricType.L2 if question.metric == "l2" else zvec.MetricType.IP
    names = [f"x{i}" for i in range(len(question.groups))]
    path, there = kept(question, f"zvec-{len(names)}")
    schema = zvec.CollectionSchema(
        "x", fields=[zvec.FieldSchema(n, zvec.DataType.INT32,
                                      index_param=zvec.InvertIndexParam(enable_range_optimization=True))
                     for n in names],
        vectors=zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, question.base.shape[1],
                                  zvec.HnswIndexParam(metric_type=metric, m=32, ef_construction=200)))
    collection = zvec.open(path) if there else zvec.create_and_open(path, schema)
    numbers = [g[1].tolist() for g in question.groups]
    for first in range(0, 0 if there else len(question.base), 1000):
        collection.insert([
            zvec.Doc(id=str(i), vectors={"v": question.base[i]},
                     fields={n: numbers[c][i] for c, n in enumerate(names)})
            for i in range(first, min(first + 1000, len(question.base)))])
    if not there:
        collection.flush()
        collection.optimize(zvec.OptimizeOption(concurrency=os.cpu_count()))

    def search(queries, k, ef, _, where):
        param = zvec.HnswQueryParam(ef=max(ef, k))
        found = np.full((len(queries), k), -1)
        for i, query in enumerate(queries):
            docs = collection.query(zvec.VectorQuery("v", vector=query, param=param), topk=k,
                                    filter=where, output_fields=[])
            found[i, :len(docs)] = [int(d.id) for d in docs]
        return found
    return {"zvec": (search, EFS)}


PEERS = {"faiss": faiss_, "hnswlib": compiled("hnswlib", 16), "usearch": compiled("usearch", 16),
         "zvec": zvec_}


# ---- Running ---------------------------------------------------------------------------------------

def recalled(answers, results):
    pairs = [(set(a), set(b)) for (_, _, truth), ids in zip(answers, results)
             for a, b in zip(ids.tolist(), truth.tolist())]
    return sum(len(a & b) for a, b in pairs) / sum(len(b) for _, b in pairs)


def sweep(search, params, k, answers, wheres):
    points = []
    for param in params:
        best, passes, end = 1e9, 0, time.perf_counter() + SECONDS
        while passes < PASSES[0] or (passes < PASSES[1] and time.perf_counter() < end):
            start = time.perf_counter()
            results = [search(queries, k, param, mask, where)
                       for (queries, mask, _), where in zip(answers, wheres)]
            best = min(best, time.perf_counter() - start)
            passes += 1
            recall = recalled(answers, results)
            if recall < RECALL or best > LIMIT:
                break
        count = sum(len(a[0]) for a in answers)
        points.append([param, round(recall, 4), round(count / best, 1)])
        if recall >= RECALL or best > LIMIT:
            break
    return points


def measure(name, args):
    question = Question(args)
    variants = PEERS[name](question)
    if args.build:
        return
    data = os.path.basename(args.data.rstrip("/"))
    for share in [float(s) for s in args.shares.split(",")]:
        limit = int(share / 100 * SCALE + 0.5)
        for kind in ("near", "far") if args.correlated else ("random",):
            answers = question.truth(share, kind)
            wheres = [f"x{i} >= {SCALE - limit}" if kind == "far" else f"x{i} < {limit}"
                      for i in range(len(answers))]
            for variant, (search, params) in variants.items():
                print(json.dumps({"peer": variant, "data": data, "selectivity": share, "filter": kind,
                                  "points": sweep(search, params, question.k, answers, wheres)}),
                      flush=True)


def fetch(folder):
    """The peers' sources from PyPI, unpacked."""
    os.makedirs(folder, exist_ok=True)
    for name, version, _ in SOURCES:
        subprocess.run([sys.executable, "-m", "pip", "-q", "download", "--no-deps", "--no-binary", name,
                        "--dest", folder, f"{name}=={version}"], check=True, stdout=sys.stderr)
        with tarfile.open(f"{folder}/{name}-{version}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    print(",".join(f"{folder}/{name}-{version}{part}" for name, version, part in SOURCES))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--metric", default="l2")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--shares", default="50,10,1,0.1")
    parser.add_argument("--correlated", action="store_true")
    parser.add_argument("--only", default=",".join(PEERS))
    parser.add_argument("--cmd")
    parser.add_argument("--include", default="")
    parser.add_argument("--indexes")
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--out")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--fetch")
    args = parser.parse_args()
    if args.fetch:
        return fetch(args.fetch)
    if args.one:
        return measure(args.one, args)
    out = open(args.out, "a") if args.out else sys.stdout
    if args.cmd:
        extra = ["--correlated"] if args.correlated else []
        p = subprocess.run([*shlex.split(args.cmd), args.data + "/base.npy", args.data + "/query.npy",
                            args.metric, str(args.k), "1", args.shares, *extra],
                           capture_output=True, text=True)
        sys.stderr.write(p.stderr)
        data = os.path.basename(args.data.rstrip("/"))
        for line in p.stdout.splitlines():
            print(json.dumps(dict(peer="vecdb", data=data, **json.loads(line))), file=out, flush=True)
    same = [sys.executable, __file__, "--data", args.data, "--metric", args.metric, "--k", str(args.k),
            "--shares", args.shares, "--include", args.include]
    same += ["--indexes", args.indexes] if args.indexes else []
    same += ["--build"] if args.build else []
    for name in [n for n in args.only.split(",") if n]:
        subprocess.run(same + (["--correlated"] if args.correlated else []) + ["--one", name],
                       stdout=out, check=False)


if __name__ == "__main__":
    main()
