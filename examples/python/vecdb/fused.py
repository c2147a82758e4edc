"""Searches whose hits are put together: in groups, or out of several searches."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from dataclasses import field as member
from enum import IntEnum
from typing import Any, Optional, Sequence

import numpy as np

from . import _c
from .calls import call
from .errors import ArgumentError, KError
from .search import HIT, Hits, Request, finish
from .values import make_names, take_rows


class Fusion(IntEnum):
    """What the hits of several searches count."""

    RRF = 0
    WEIGHTED = 1
    SCORES = 2


@dataclass
class Part:
    """One of the searches of a ranking: its queries (as many as the others have), how many of its
    hits count, and how much. radius: only hits within it count. how: filter, params, ef and the
    like, as of Collection.search."""

    queries: Any
    k: int = 100
    field: Optional[str] = None
    weight: float = 1
    radius: Optional[float] = None
    how: dict[str, Any] = member(default_factory=dict)


@dataclass
class Groups:
    """The hits of each group: of one query hits[g, :counts[g]], nearest first, of many
    hits[q, g, :counts[q, g]]; a count of 0 says that there is no such group. `rows` as in Hits."""

    hits: np.ndarray
    counts: np.ndarray
    rows: Optional[list[dict[str, Any]]] = None


def search_groups(handle: ctypes.c_void_p, request: Request, by: str, size: int,
                  with_rows: bool) -> Groups:
    """Runs a request for groups."""
    if not 0 < size < 2**32 or request.raw.k * size > 16384:
        raise KError(f"{request.raw.k} groups of {size}")
    shape = (request.raw.n_queries, request.raw.k, size)
    hits, counts = np.zeros(shape, HIT), np.zeros(shape[:2], np.uint32)
    group_by = _c.GroupBy(hits=size, field=by.encode())
    rows = ctypes.c_void_p() if with_rows else None
    call(_c.lib.vecdb_search_groups, handle, _c.Ref(request.raw), _c.Ref(group_by),
         hits.ctypes.data, counts.ctypes.data, None, _c.Ref(rows) if rows is not None else None)
    taken = take_rows(rows) if rows is not None else None
    return (Groups(hits[0], counts[0], taken) if request.single
            else Groups(hits, counts, taken))


def search_hybrid(handle: ctypes.c_void_p, parts: Sequence[Part], requests: Sequence[Request],
                  k: int, fusion: Fusion, rrf_k: float,
                  fields: Optional[Sequence[str]]) -> Hits:
    """Runs the requests of the parts as one ranking."""
    if not parts:
        raise ArgumentError("no searches")
    if not 0 < k <= 16384:
        raise KError(f"k is {k}")
    array = (_c.HybridSearch * len(parts))()
    for raw, part, request in zip(array, parts, requests):
        raw.search, raw.weight = request.raw, part.weight
        if part.radius is not None:
            raw.bounded, raw.radius = 1, part.radius
    n = requests[0].raw.n_queries
    params = _c.HybridParams(search_size=ctypes.sizeof(_c.HybridSearch), searches=array,
                             n_searches=len(parts), k=k, fusion=fusion, rrf_k=rrf_k)
    if fields is not None:
        params.fields, params.n_fields = make_names(fields)
    hits, counts = np.zeros((n, k), HIT), np.zeros(n, np.uint32)
    rows = ctypes.c_void_p() if fields is not None else None
    call(_c.lib.vecdb_search_hybrid, handle, _c.Ref(params), hits.ctypes.data, counts.ctypes.data,
         None, _c.Ref(rows) if rows is not None else None)
    taken = take_rows(rows) if rows is not None else None
    return Hits(finish(hits, counts, requests[0].single), counts, rows=taken)
