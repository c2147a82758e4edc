#!/usr/bin/env python3
"""DISK beside zvec's DiskANN on one disk, in a quarter of the memory that the vectors take.

    disk.py --data DIR --metric l2|ip [--threads 1] [--share 4] [--only vecdb,zvec] [--beams N,...]
            [--ann build/bench/ann] [--folder DIR]

Each side builds its index without a limit. Then another process, started in a memory control
group of its own, opens it and answers the first 1,000 queries of DIR/query.npy one at a time. Its
group may hold what the process had before opening (for zvec Python and its libraries, for vecdb
nothing) and bytes(base as floats) / share; pages of the system's cache that it causes count. The
files are dropped from the cache first. Groups are those of version 1 or 2, whichever is mounted,
and take root; without, the lines say "limit_mb": null and only the dropped cache holds. A zvec that is
killed there is given twice the memory, and again ("times").

Prints a JSON line for each side: points are [list size, recall@10, QPS, reads per query], a read
being 4 KiB from the disk: what vecdb counts, and for zvec what /proc/self/io says that the process
has read, over 4 KiB. QPS is the best of three passes (of fewer where they take long), reads are
those of one. Build `ann` with
URING=1, else the cache helps it.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

LISTS = [16, 24, 32, 48, 64, 96, 128, 192]
QUERIES = 1000
K = 10
ENOUGH = 6  # seconds of a point after which there is no further pass


class Group:
    """A memory control group for one child, or nothing where there can be none. A child that finds
    its own sets `made`."""

    def __init__(self, made=None):
        self.path = None
        for root, limit, usage in (("/sys/fs/cgroup", "memory.max", "memory.current"),
                                   ("/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                    "memory.usage_in_bytes")):
            path = made or f"{root}/vecdb-disk-{os.getpid()}"
            try:
                if not made:
                    os.mkdir(path)
            except OSError:
                continue
            if os.path.exists(f"{path}/{limit}"):
                self.path, self.limit, self.usage = path, limit, usage
                return
            if not made:
                os.rmdir(path)

    def enter(self):
        if self.path:
            with open(self.path + "/cgroup.procs", "w") as f:
                f.write(str(os.getpid()))

    def allow(self, more):
        """Limits the group to what it has and so many bytes; MiB in all."""
        if not self.path:
            return None
        with open(f"{self.path}/{self.usage}") as f:
            total = int(f.read()) + more
        with open(f"{self.path}/{self.limit}", "w") as f:
            f.write(str(total))
        return round(total / 2**20, 1)

    def close(self):
        if self.path:
            os.rmdir(self.path)


def drop_cache(folder):
    for root, _, files in os.walk(folder):
        for name in files:
            fd = os.open(f"{root}/{name}", os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def disk_bytes():
    with open("/proc/self/io") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("read_bytes"))


# ---- vecdb ----

def ann(args, folder, *more):
    files = [f"{args.data}/{f}.npy" for f in ("base", "query", "gt")]
    return [args.ann, *files, args.metric, str(K), str(args.threads), "--index", "DISK", "--keep",
            folder + "/db", *more]


def vecdb_line(args, group, folder, budget, more):
    drop_cache(folder)
    limit = group.allow(budget)
    out = subprocess.run(ann(args, folder, *more), check=True, stdout=subprocess.PIPE, text=True,
                         preexec_fn=group.enter).stdout
    line = json.loads(out)
    points = [p + [r] for p, r in zip(line["points"], line["reads"])]
    return {"limit_mb": limit, "sweep": line["sweep"], "points": points}


def vecdb(args, folder, budget):
    out = subprocess.run(ann(args, folder, "--points", "16"), check=True, stdout=subprocess.PIPE,
                         text=True).stdout
    build = json.loads(out)["build_s"]
    runs = [["--points", ",".join(map(str, LISTS))]]
    if args.beams:
        runs.append(["--sweep", "beam", "--points", args.beams, "--ef", "32"])
    for more in runs:
        group = Group()
        line = vecdb_line(args, group, folder, budget, more)
        group.close()
        print(json.dumps({"peer": "vecdb", "data": os.path.basename(args.data), "index": "DISK",
                          "threads": args.threads, "build_s": build, **line}), flush=True)


# ---- zvec ----

def zvec_build(args, folder):
    import zvec
    base = np.load(args.data + "/base.npy").astype(np.float32)
    metric = zvec.MetricType.L2 if args.metric == "l2" else zvec.MetricType.IP
    index = zvec.DiskAnnIndexParam(metric_type=metric, max_degree=args.degree, list_size=100,
                                   pq_chunk_num=args.chunks)
    schema = zvec.CollectionSchema(
        "x", vectors=zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, base.shape[1], index))
    zvec.init(log_level=zvec.LogLevel.ERROR, optimize_threads=os.cpu_count())
    start = time.perf_counter()
    collection = zvec.create_and_open(folder + "/z", schema)
    for first in range(0, len(base), 1000):
        collection.insert([zvec.Doc(id=str(first + i), vectors={"v": row})
                           for i, row in enumerate(base[first:first + 1000])])
    collection.flush()
    collection.optimize(zvec.OptimizeOption(concurrency=os.cpu_count()))
    collection.flush()
    print(json.dumps({"build_s": round(time.perf_counter() - start, 2)}))


def zvec_search(args, folder, budget):
    import zvec
    group = Group(args.group) if args.group else None
    if group:
        group.enter()
    zvec.init(log_level=zvec.LogLevel.ERROR, query_threads=args.threads)
    queries = np.load(args.data + "/query.npy")[:QUERIES].astype(np.float32)
    truth = np.load(args.data + "/gt.npy")[:QUERIES, :K]
    drop_cache(folder)
    limit = group.allow(budget) if group else None
    collection = zvec.open(folder + "/z")
    points = []
    for size in LISTS:
        param = zvec.DiskAnnQueryParam(list_size=size)
        best, reads, end = 1e9, 0, time.perf_counter() + ENOUGH
        for _ in range(3):
            before, start = disk_bytes(), time.perf_counter()
            found = [[int(d.id) for d in collection.query(
                zvec.VectorQuery("v", vector=q, param=param), topk=K)] for q in queries]
            best = min(best, time.perf_counter() - start)
            reads = (disk_bytes() - before) / 4096 / len(queries)
            if time.perf_counter() > end:
                break
        recall = np.mean([len(set(f) & set(t)) / K for f, t in zip(found, truth.tolist())])
        points.append([size, round(float(recall), 4), round(len(queries) / best, 1),
                       round(reads, 1)])
    print(json.dumps({"limit_mb": limit, "sweep": "list", "backend": str(zvec.io_backend_type()),
                      "points": points}))


def zvec_step(args, step, folder, *more):
    """What that step printed, or None where the system has killed it."""
    done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--step", step, "--folder",
                           folder, *more], stdout=subprocess.PIPE, text=True)
    if done.returncode == -9:
        return None
    done.check_returncode()
    return json.loads(done.stdout.splitlines()[-1])


def zvec_(args, folder, budget):
    """Where the memory is not enough for it, again with twice as much."""
    line = zvec_step(args, "build", folder)
    found = None
    for times in (1, 2, 4, 8, 16):
        group = Group()
        found = zvec_step(args, "search", folder, "--budget", str(times * budget), "--group",
                          group.path or "")
        group.close()
        if found:
            line.update(found, times=times)
            break
    print(json.dumps({"peer": "zvec", "data": os.path.basename(args.data), "index": "DiskANN",
                      "threads": args.threads, **line}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--metric", required=True, choices=["l2", "ip"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--share", type=float, default=4)
    parser.add_argument("--only", default="vecdb,zvec")
    parser.add_argument("--beams", default="1,2,4,8,16,32")
    parser.add_argument("--ann", default="build/bench/ann")
    parser.add_argument("--degree", type=int, default=32, help="zvec's max_degree")
    parser.add_argument("--chunks", type=int, default=0, help="zvec's pq_chunk_num; 0: its choice")
    parser.add_argument("--folder", help="where the databases are made; the system's temporary one")
    parser.add_argument("--step", choices=["build", "search"], help=argparse.SUPPRESS)
    parser.add_argument("--budget", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--group", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step == "build":
        return zvec_build(args, args.folder)
    if args.step == "search":
        return zvec_search(args, args.folder, args.budget)
    shape = np.load(args.data + "/base.npy", mmap_mode="r").shape
    budget = int(shape[0] * shape[1] * 4 / args.share)
    for side in args.only.split(","):
        folder = tempfile.mkdtemp(dir=args.folder)
        try:
            {"vecdb": vecdb, "zvec": zvec_}[side](args, folder, budget)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return None


if __name__ == "__main__":
    main()
