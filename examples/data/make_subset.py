#!/usr/bin/env python3
"""Makes the demo's data: 20,000 passages of the text100k set, their vectors and the questions.

Usage: make_subset.py TEXT100K OUT    (needs numpy)

TEXT100K holds docs.jsonl, base.npy, query.npy, questions.npy and questions.txt. The best ten passages
of each question are taken, and then rows at even steps up to 20,000, in their first order. README.md
in this folder describes the files; the last lines printed are its figures on quantisation.
"""
import json
import pathlib
import sys

import numpy as np

ROWS = 20_000
BEST = 10
TEXT_BYTES = 480  # longer passages are cut at a word
COLUMNS = ("package", "section", "priority", "installed_kb", "download_bytes")


def choose(base, questions):
    """Row numbers, ascending."""
    best = np.unique(np.argsort(-(questions @ base.T), axis=1)[:, :BEST])
    rest = np.setdiff1d(np.arange(len(base)), best)
    steps = np.linspace(0, len(rest) - 1, ROWS - len(best)).astype(int)
    return np.sort(np.concatenate([best, rest[steps]]))


def cut(text):
    """The text on one line, shortened to TEXT_BYTES at a word."""
    text = " ".join(text.split())
    raw = text.encode()
    if len(raw) <= TEXT_BYTES:
        return text
    head = raw[: TEXT_BYTES - 4].decode(errors="ignore")
    return head.rsplit(" ", 1)[0].rstrip(".,;:") + " ..."


def quantise(vectors):
    """One scale per row and signed bytes, so that vector = scale * bytes."""
    scales = (np.abs(vectors).max(axis=1) / 127).astype("<f4")
    return scales, np.rint(vectors / scales[:, None]).astype(np.int8)


def recall(queries, exact, approximate, k=10):
    """How much of the exact k nearest (inner product) the approximate vectors find."""
    a = np.argsort(-(queries @ exact.T), axis=1, kind="stable")[:, :k]
    b = np.argsort(-(queries @ approximate.T), axis=1, kind="stable")[:, :k]
    return np.mean([len(set(x) & set(y)) / k for x, y in zip(a, b)])


def main(source, out):
    base = np.load(source / "base.npy").astype(np.float32)
    questions = np.load(source / "questions.npy").astype("<f4")
    rows = choose(base, questions)
    base = base[rows]
    with open(source / "docs.jsonl", encoding="utf-8") as lines:
        docs = [json.loads(line) for line in lines]

    out.mkdir(parents=True, exist_ok=True)
    with open(out / "passages.tsv", "w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            doc = docs[row]
            cells = [str(doc[name]) for name in COLUMNS] + [",".join(doc["tags"]), cut(doc["text"])]
            assert not any("\t" in cell or "\n" in cell for cell in cells)
            file.write("\t".join(cells) + "\n")
    scales, codes = quantise(base)
    with open(out / "vectors.bin", "wb") as file:
        file.write(np.array(codes.shape, "<u4").tobytes() + scales.tobytes() + codes.tobytes())
    with open(out / "questions.bin", "wb") as file:
        file.write(np.array(questions.shape, "<u4").tobytes() + questions.tobytes())
    text = (source / "questions.txt").read_text(encoding="utf-8")
    (out / "questions.txt").write_text(text, encoding="utf-8")

    restored = scales[:, None] * codes
    summaries = np.load(source / "query.npy")[:500].astype(np.float32)
    print(f"{len(rows)} rows; bytes: " + ", ".join(f"{p.name} {p.stat().st_size:,}"
                                                    for p in sorted(out.iterdir())))
    cosine = (restored * base).sum(1) / np.linalg.norm(restored, axis=1) / np.linalg.norm(base, axis=1)
    print(f"cosine to the original: mean {cosine.mean():.6f}, least {cosine.min():.6f}")
    print(f"recall@10 of the {len(questions)} questions: {recall(questions, base, restored):.4f}")
    print(f"recall@10 of {len(summaries)} summaries: {recall(summaries, base, restored):.4f}")


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:3]))
