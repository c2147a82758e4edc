"""Searches: parameters in, hits out."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Iterator, Mapping, Optional, Sequence

import numpy as np

from . import _c
from .calls import Control, Handle, call
from .columns import sparse, vectors
from .errors import ArgumentError, KError, raise_error
from .schema import DTYPES, Field, Type
from .values import address, make_filter, make_names, take_rows

HIT = np.dtype([("id", np.int64), ("score", np.float32), ("row", np.uint32)])


class Plan(IntEnum):
    """How a search is run; AUTO unless there is a reason."""

    AUTO = 0
    EXACT = 1
    GRAPH = 2
    FILTER_LATE = 3
    CODES = 4


@dataclass
class Hits:
    """What a search found. For one query (a vector) ids and scores have a dimension, for many (a
    matrix) two: a row per query, where ids[q, counts[q]:] are -1 and the scores NaN. They are
    views of `hits`, which the library wrote. `rows` are the fields asked for, a dict per hit of
    all queries one after the other; with VARCHAR keys ids are -1, and rows hold the keys."""

    hits: np.ndarray
    counts: np.ndarray
    info: Optional[dict[str, int]] = None
    rows: Optional[list[dict[str, Any]]] = None

    @property
    def ids(self) -> np.ndarray:
        return self.hits["id"]

    @property
    def scores(self) -> np.ndarray:
        return self.hits["score"]

    def __len__(self) -> int:
        return len(self.hits)


class Request:
    """A vecdb_search_params, and what it points to, alive as long as this object."""

    def __init__(self, field: Field, queries: Any, *, k: int = 1, filter: Optional[str] = None,
                 params: Optional[Mapping[str, Any]] = None, ef: int = 0, nprobe: int = 0,
                 recall: float = 0, plan: Plan = Plan.AUTO, threads: int = 0,
                 fields: Optional[Sequence[str]] = None) -> None:
        if not 0 < k < 2**32:
            raise KError(f"k is {k}")
        self.keep: list[Any] = []
        raw = self.raw = _c.SearchParams()  # zero is each one's default
        raw.k, raw.field = k, field.name.encode()
        if ef or nprobe or recall or plan or threads:
            if not all(0 <= number < 2**32 for number in (ef, nprobe, threads)):
                raise ArgumentError("ef, nprobe and threads are numbers of 32 bits")
            raw.ef, raw.nprobe, raw.recall = ef, nprobe, recall
            raw.plan, raw.threads = plan, threads
        self._queries(field, queries)
        if filter is not None or params:
            raw.filter = make_filter(filter, params, self.keep)
        if fields is not None:
            raw.fields, raw.n_fields = make_names(fields)

    def _queries(self, field: Field, queries: Any) -> None:
        if field.type == Type.SPARSE_VECTOR:
            self.single = isinstance(queries, (dict, np.ndarray))
            many = [queries] if self.single else list(queries)
            self._point(sparse(many, field, self.keep), len(many))
            return
        array = queries if isinstance(queries, np.ndarray) else np.asarray(queries)
        self.single = array.ndim == 1
        rows, self.raw.dim = vectors(array[None] if self.single else array, field)
        self.raw.query_stride = rows.strides[0] if len(rows) > 1 else 0
        self._point(rows, len(rows))

    def _point(self, rows: Any, n: int) -> None:
        """Notes n queries in an array of NumPy's or C's."""
        if not n:
            raise ArgumentError("no queries")
        self.keep.append(rows)
        c_array = isinstance(rows, ctypes.Array)
        self.raw.queries = ctypes.addressof(rows) if c_array else address(rows)
        self.raw.n_queries = n

    def room(self, out: Optional[np.ndarray]) -> tuple[np.ndarray, Any]:
        """Where hits go, and its address: the caller's array, or a new one."""
        shape = (self.raw.n_queries, self.raw.k)
        if out is None:  # over memory of ctypes, whose address costs nothing
            memory = (ctypes.c_char * (shape[0] * shape[1] * HIT.itemsize))()
            return np.ndarray(shape, HIT, memory), memory
        if (out.dtype != HIT or out.size != shape[0] * shape[1] or not out.flags.c_contiguous
                or not out.flags.writeable):
            raise ArgumentError(f"out is a writeable, packed array of vecdb.HIT, {shape}")
        return out.reshape(shape), address(out)


def info_dict(info: _c.SearchInfo) -> dict[str, int]:
    return {name: getattr(info, name) for name, *_ in info._fields_[1:]}


def finish(hits: np.ndarray, counts: np.ndarray, single: bool) -> np.ndarray:
    """Hits of one query as they are; those of many with the places left over marked."""
    if single:
        return hits[0, :counts[0]]
    if counts.min() < hits.shape[1]:
        left = np.arange(hits.shape[1]) >= counts[:, None]
        hits["id"][left], hits["score"][left], hits["row"][left] = -1, np.nan, 0
    return hits


class SearchIterator(Iterator[Hits]):
    """Walks outward from a query, a batch of hits at a time, until every allowed row has come."""

    def __init__(self, collection: Any, request: Request, batch: int, with_rows: bool) -> None:
        if not 0 < batch <= 16384:
            raise KError(f"a batch of {batch}")
        self._batch, self._with_rows = batch, with_rows
        handle = ctypes.c_void_p()
        call(_c.lib.vecdb_iterator_open, collection.handle, _c.Ref(request.raw), _c.Ref(handle))
        self._handle = Handle(handle, _c.lib.vecdb_iterator_close, collection.database.handles)

    def __next__(self) -> Hits:
        hits, counts = np.empty((1, self._batch), HIT), np.zeros(1, np.uint32)
        rows = ctypes.c_void_p() if self._with_rows else None
        call(_c.lib.vecdb_iterator_next, self._handle.get(), self._batch, address(hits),
             address(counts), _c.Ref(rows) if rows is not None else None)
        taken = take_rows(rows) if rows is not None else None
        if not counts[0]:
            raise StopIteration
        return Hits(finish(hits, counts, True), counts, rows=taken)

    def close(self) -> None:
        """Ends the walk. Closing twice does nothing."""
        self._handle.close()

    def __enter__(self) -> "SearchIterator":
        return self

    def __exit__(self, *what: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_handle"):  # it could be opened
            self.close()


def search(handle: ctypes.c_void_p, request: Request, radius: Optional[float],
           out: Optional[np.ndarray], timeout: Optional[float], with_info: bool,
           with_rows: bool) -> Hits:
    """Runs a request: of the k nearest, or of those within a radius."""
    lib, raw = _c.lib, request.raw
    hits, where = request.room(out)
    counts = (ctypes.c_uint32 * raw.n_queries)()
    info = _c.SearchInfo() if with_info else None
    rows = ctypes.c_void_p() if with_rows else None
    control = Control(timeout=timeout) if timeout is not None else None
    if control:
        raw.control = ctypes.pointer(control.raw)
    results = (where, counts, _c.Ref(info) if info is not None else None,
               _c.Ref(rows) if rows is not None else None)
    if radius is None:
        call(lib.vecdb_search, handle, _c.Ref(raw), *results)
    else:
        call(lib.vecdb_search_range, handle, _c.Ref(raw), radius, *results)
    taken = take_rows(rows) if rows is not None else None
    found = np.ndarray(raw.n_queries, np.uint32, counts)
    return Hits(finish(hits, found, request.single), found,
                info_dict(info) if info is not None else None, taken)




class Searcher:
    """A search for one query after the other, made ready once: see Collection.searcher."""

    def __init__(self, handle: Handle, field: Field, k: int, **how: Any) -> None:
        if field.type == Type.SPARSE_VECTOR:
            raise ArgumentError("a searcher takes dense vectors")
        self._field, self._handle = field, handle
        width = field.dim // 8 if field.type == Type.BINARY_VECTOR else field.dim
        self._shape, self._dtype = (width,), DTYPES[field.type]
        self._request = Request(field, np.zeros(width, self._dtype), k=k, **how)
        self._memory = ctypes.c_char * (k * HIT.itemsize)
        self._count, self._error = ctypes.c_uint32(), _c.Error()
        self._ends = (_c.Ref(self._count), None, None, _c.Ref(self._error))
        self._start = _c.Ref(self._request.raw)

    def __call__(self, query: np.ndarray) -> np.ndarray:
        """The hits, nearest first: an array of vecdb.HIT."""
        if type(query) is not np.ndarray or query.dtype != self._dtype or (
                query.shape != self._shape or not query.flags.c_contiguous):
            query = vectors(np.asarray(query)[None], self._field)[0]
        self._request.raw.queries = address(query)
        memory = self._memory()
        if _c.lib.vecdb_search(self._handle.get(), self._start, memory, *self._ends):
            raise_error(self._error)
        return np.ndarray(self._count.value, HIT, memory)  # type: ignore[arg-type]
