"""Prints what a search through this package costs beside the same call of the C library."""

from __future__ import annotations

import ctypes
import time
from typing import Any, Callable

import numpy as np

import vecdb
from vecdb import Field, Metric, Type, _c
from vecdb.search import HIT, Request

ROUNDS, CALLS = 15, 2000


def microseconds(call: Callable[[], Any]) -> float:
    """The fastest of some rounds, per call: what other programs take is not of interest."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        rounds.append((time.perf_counter() - start) / CALLS * 1e6)
    return min(rounds)


def main() -> None:
    with vecdb.open(":memory:") as db:
        docs = db.create("docs", [Field("id", Type.INT64, primary_key=True),
                                  Field("v", Type.FLOAT_VECTOR, dim=128, metric=Metric.L2)])
        rows = np.random.default_rng(1).standard_normal((100, 128)).astype(np.float32)
        docs.insert({"id": np.arange(100), "v": rows})
        query, out = rows[0], np.empty((1, 10), HIT)
        request = Request(docs.fields["v"], query, k=10)
        count, error = ctypes.c_uint32(), _c.Error()
        arguments = (docs.handle, ctypes.byref(request.raw), out.ctypes.data, ctypes.byref(count),
                     None, None, ctypes.byref(error))
        bare = microseconds(lambda: _c.lib.vecdb_search(*arguments))
        version = microseconds(_c.lib.vecdb_version_number)
        print(f"a call of C that does nothing          {version:6.2f} us")
        print(f"vecdb_search with its structs made      {bare:6.2f} us")
        find = docs.searcher(10)
        for name, call in (("searcher(10)(query)", lambda: find(query)),
                           ("search(query, 10)", lambda: docs.search(query, 10)),
                           ("search(query, 10, out=)", lambda: docs.search(query, 10, out=out))):
            total = microseconds(call)
            print(f"{name:38}  {total:6.2f} us, of it the package {total - bare:.2f} us")


if __name__ == "__main__":
    main()
