#!/usr/bin/env python3
"""Tables from the JSON lines of ann, filtered, limits, peers.py and peers_filtered.py.

    table.py FILE...

Each line says by its keys what it is. Needs nothing but Python.
"""
import json
import sys

RECALLS = (0.9, 0.95, 0.99)


def read(paths):
    rows = []
    for path in paths:
        with open(path) as f:
            rows += [json.loads(line) for line in f if line.startswith("{")]
    return rows


def front(points):
    """The (recall, qps) pairs that no other beats in both, by rising recall."""
    best = []
    for _, recall, qps in sorted(points, key=lambda p: (-p[2], -p[1])):
        if not best or recall > best[-1][0]:
            best.append((recall, qps))
    return best


def qps_at(points, wanted):
    """QPS at a recall: log-linear between the neighbours on the front; None when not reached."""
    previous = None
    for recall, qps in front(points):
        if recall >= wanted:
            if previous is None:
                return qps
            share = (recall - wanted) / (recall - previous[0])
            return qps * (previous[1] / qps) ** share
        previous = (recall, qps)
    return None


def grouped(rows, *keys):
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row.get(k) for k in keys), []).append(row)
    return groups.items()


def cells(values):
    return "| " + " | ".join(values) + " |"


def head(*names):
    print("\n" + cells(names) + "\n|" + " --- |" * len(names))


def number(value):
    return "-" if value is None else f"{value:,.0f}"


def searches(rows):
    for (data, threads), rows in grouped(rows, "data", "threads"):
        print(f"\n{data}, {threads} search thread{'s' if threads > 1 else ''}")
        scans = [r for r in rows if r["points"] and isinstance(r["points"][0][0], (int, float))
                 and [p[0] for p in r["points"]] == [1, 256]]
        if scans:
            head("exact scan", "recall", "QPS, one query a call", "QPS, 256 a call")
        for r in sorted(scans, key=lambda r: -r["points"][1][2]):
            print(cells([r["peer"], f"{r['points'][1][1]:.4f}", *(f"{p[2]:,.1f}" for p in r["points"])]))
        others = [r for r in rows if r not in scans]
        if others:
            head("index", "build s", "resident MB", *(f"QPS at {x}" for x in RECALLS))
        for r in sorted(others, key=lambda r: -(qps_at(r["points"], RECALLS[1]) or 0)):
            print(cells([r["peer"], f"{r['build_s']:.1f}", f"{r['index_mb']:.0f}",
                         *(number(qps_at(r["points"], x)) for x in RECALLS)]))


def filters(rows):
    head("data", "filter", "passes", "vecdb: recall, QPS, plan", "best peer at .95", "others at .95")
    for (data, kind, share), rows in grouped(rows, "data", "filter", "selectivity"):
        ours = [f"{r['recall']:.3f}, {r['qps']:,.0f}, {r['plan']}" for r in rows if "plan" in r]
        theirs = sorted(((qps_at(r["points"], 0.95) or 0, r["peer"]) for r in rows if "points" in r),
                        reverse=True)
        texts = [f"{name} {number(qps)}" if qps else f"{name} does not reach it" for qps, name in theirs]
        print(cells([str(data), kind, f"{share:g} %", "; ".join(ours), "".join(texts[:1]),
                     ", ".join(texts[1:])]))


def machine(row):
    head("MiB", "ns a dependent read, 4 KiB pages", "2 MiB pages", "ns a random line, many at once")
    for at in row["latency"]:
        print(cells([f"{at['mib']:g}", f"{at['ns_4k']:.1f}", f"{at['ns_2m']:.1f}", f"{at['ns_line']:.2f}"]))
    print(f"\nOne after the other: {row['stream_gb_s']:.1f} GB/s by one thread, "
          f"{row['stream_all_gb_s']:.1f} by all. Kernels: {row['kernels']}.")


def limits(rows):
    head("data", "index", "setting", "recall", "ns a query", "vectors compared", "bytes", "memory limit",
         "in cache", "of memory", "of compute")
    for r in rows:
        setting = "ef" if "ef" in r else "nprobe"
        print(cells([r.get("data", ""), r["index"], f"{setting} {r[setting]}", f"{r['recall']:.3f}",
                     number(r["ns"]), number(r["compared"]), number(r["bytes"]), number(r["memory_ns"]),
                     number(r["warm_ns"]), f"{r['of_memory']:.2f}", f"{r['of_compute']:.2f}"]))


def main():
    rows = read(sys.argv[1:])
    for row in rows:
        if "latency" in row:
            machine(row)
    for show, key in ((limits, "memory_ns"), (searches, "build_s"), (filters, "filter")):
        chosen = [r for r in rows if key in r]
        if chosen:
            show(chosen)
    for row in rows:
        if "error" in row:
            print(f"\n{row['peer']}, {row.get('data')}: {row['error']}")


if __name__ == "__main__":
    main()
