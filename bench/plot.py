#!/usr/bin/env python3
"""Recall against queries per second, from the JSON lines of peers.py, one picture per data set.

    plot.py OUT.svg FILE... [--from 0.8] [--only NAME,...] [--title TEXT]

A line is the front of a peer's points: no other point of it beats them in both. vecdb is drawn thick.
"""
import argparse

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

import table


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--from", dest="low", type=float, default=0.8)
    parser.add_argument("--only", default="")
    parser.add_argument("--title", default="")
    args = parser.parse_args()
    rows = table.read(args.files)
    wanted = args.only.split(",") if args.only else None
    rows = [r for r in rows if "points" in r and (not wanted or r["peer"] in wanted)]
    matplotlib.rcParams.update({"svg.hashsalt": "vecdb", "font.size": 9})
    figure, axes = plt.subplots(figsize=(8, 5))
    styles = ["-", "--", "-.", ":"]
    for i, row in enumerate(sorted(rows, key=lambda r: -(table.qps_at(r["points"], 0.95) or 0))):
        points = [p for p in table.front(row["points"]) if p[0] >= args.low]
        ours = row["peer"].startswith("vecdb")
        axes.plot([p[0] for p in points], [p[1] for p in points], styles[i // 10 % 4], marker=".",
                  linewidth=2.5 if ours else 1, label=row["peer"])
    axes.set_yscale("log")
    axes.set_xlim(args.low, 1)
    axes.set_xlabel("recall@10")
    axes.set_ylabel("queries per second")
    axes.set_title(args.title or rows[0]["data"])
    axes.grid(True, which="both", linewidth=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(args.out, bbox_inches="tight", metadata={"Date": None} if args.out.endswith("svg") else {})


main()
