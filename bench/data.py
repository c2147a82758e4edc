#!/usr/bin/env python3
"""Further data sets from real ones, so that tuning to one of them shows.

    data.py DIR OUT NAME...      such as: data.py ../shared/data/text100k build/data bits pca200
    data.py patches OUT N

  bits      the signs of the elements, packed, for --metric hamming
  cutN      the first N dimensions, normalised again if the rows were
  pcaN      N dimensions of principal components, normalised again if the rows were
  firstN    the first N rows
  rowsN     N rows, repeated as often as needed with noise of a tenth of the distance between neighbours
Each becomes OUT/<name of DIR>-NAME with base.npy, query.npy and `metric`; gt.npy is made by peers.py.
patches: N pieces of 8 x 8 pixels in colour (192 dimensions, uint8, l2) at random places of the photographs
that scikit-image and scikit-learn carry (`pip install --no-deps` will do, with Pillow), and 1,000 queries
from other places of them.
"""
import importlib.util
import os
import re
import sys

import numpy as np


def normalised(rows):
    return bool(np.abs(np.linalg.norm(rows[:1000].astype(np.float32), axis=1) - 1).max() < 0.01)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def principal(base, queries, n):
    mean = base.mean(0)
    sample = base[::max(1, len(base) // 50000)] - mean
    values, vectors = np.linalg.eigh(sample.T @ sample)
    axes = vectors[:, np.argsort(-values)[:n]]
    return base @ axes, queries @ axes


def more(base, n):
    """The rows, again and again: a copy keeps its neighbourhood but not its place."""
    random = np.random.default_rng(1)
    some = base[:2000]
    products = some @ some.T
    squares = (some * some).sum(1)
    d = squares[:, None] + squares[None] - 2 * products
    np.fill_diagonal(d, np.inf)
    noise = 0.1 * np.sqrt(np.median(d.min(1)) / base.shape[1])
    rows = [base]
    while sum(map(len, rows)) < n:
        rows.append(base + random.normal(0, noise, base.shape).astype(np.float32))
    return np.concatenate(rows)[:n]


def derive(base, queries, name):
    kind, n = re.fullmatch(r"([a-z]+)(\d*)", name).groups()
    n = int(n or 0)
    if kind == "bits":
        middle = np.median(base[::10], axis=0)
        return np.packbits(base > middle, axis=1), np.packbits(queries > middle, axis=1)
    if kind == "first":
        return base[:n], queries
    same = unit if normalised(base) else lambda rows: rows
    if kind == "rows":
        return same(more(base, n)), queries
    if kind == "cut":
        return same(base[:, :n]), same(queries[:, :n])
    if kind == "pca":
        return tuple(map(same, principal(base, queries, n)))
    sys.exit(f"{name}: bits, cutN, pcaN, firstN or rowsN")


def patches(out, n):
    from PIL import Image
    names = ["skimage/data/" + f for f in (
        "astronaut.png chelsea.png coffee.png hubble_deep_field.jpg ihc.png motorcycle_left.png "
        "motorcycle_right.png retina.jpg rocket.jpg").split()]
    names += ["sklearn/datasets/images/" + f for f in ("china.jpg", "flower.jpg")]
    every = []
    for name in names:
        package, _, path = name.partition("/")
        home = importlib.util.find_spec(package).submodule_search_locations[0]
        pixels = np.asarray(Image.open(f"{home}/{path}").convert("RGB"))
        every.append(np.lib.stride_tricks.sliding_window_view(pixels, (8, 8), axis=(0, 1)))
    sizes = np.array([e.shape[0] * e.shape[1] for e in every])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    places = np.random.default_rng(1).choice(starts[-1], n + 1000, replace=False)
    rows = np.empty((n + 1000, 192), np.uint8)
    for e, first, size in zip(every, starts, sizes):
        here = np.flatnonzero((places >= first) & (places < first + size))
        y, x = np.divmod(places[here] - first, e.shape[1])
        rows[here] = e[y, x].reshape(len(here), -1)
    target = f"{out}/patches{n // 1000}k"
    os.makedirs(target, exist_ok=True)
    np.save(target + "/base.npy", rows[:n])
    np.save(target + "/query.npy", rows[n:])


def main():
    if sys.argv[1] == "patches":
        return patches(sys.argv[2], int(sys.argv[3]))
    folder, out, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    base, queries = (np.load(f"{folder}/{f}.npy").astype(np.float32) for f in ("base", "query"))
    for name in names:
        target = f"{out}/{os.path.basename(folder.rstrip('/'))}-{name}"
        os.makedirs(target, exist_ok=True)
        for file, rows in zip(("base", "query"), derive(base, queries, name)):
            rows = np.ascontiguousarray(rows if rows.dtype == np.uint8 else rows.astype(np.float32))
            np.save(f"{target}/{file}.npy", rows)
        with open(target + "/metric", "w") as f:
            f.write("hamming" if name == "bits" else "ip" if normalised(base) else "l2")


if __name__ == "__main__":
    main()
