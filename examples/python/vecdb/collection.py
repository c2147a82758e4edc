"""Collections: rows in, rows and hits out."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Optional, Sequence, Union

import numpy as np

from . import _c
from .calls import Control, Handle, Progress, call, text_of
from .columns import Batch, Columns, Rows
from .errors import ArgumentError, UnknownFieldError
from .schema import (Field, Type, index_text, json_index, make_schema, parse_index,
                     read_field)
from .fused import Fusion, Groups, Part, search_groups, search_hybrid
from .learn import Learner
from .search import Hits, Request, Searcher, SearchIterator, search
from .values import Key, make_filter, make_keys, make_names, take_rows

if TYPE_CHECKING:
    from .database import Database

Keys = Union[Key, Sequence[Key], np.ndarray]
_PAGE = 1024


class Collection(Learner):
    """A collection of an open database. Any thread may use it at any time."""

    def __init__(self, database: "Database", handle: ctypes.c_void_p, name: str) -> None:
        self.database = database
        self.name = name
        self._handle = Handle(handle, _c.lib.vecdb_collection_release, database.handles)
        self._read_schema()

    def _read_schema(self) -> None:
        schema = _c.lib.vecdb_collection_schema(self.handle)[0]
        self.description: str = (schema.description or b"").decode()
        self.fields: dict[str, Field] = {
            field.name: field for field in map(read_field, schema.fields[:schema.n_fields])}
        self.key = next(field for field in self.fields.values() if field.primary_key)
        vectors = [f for f in self.fields.values() if f.type >= Type.FLOAT_VECTOR]
        self._vector = vectors[0] if len(vectors) == 1 else None

    @property
    def handle(self) -> ctypes.c_void_p:
        return self._handle.get()

    def close(self) -> None:
        """Releases the handle; rows stay. Closing twice does nothing."""
        self._handle.close()

    def __enter__(self) -> "Collection":
        return self

    def __exit__(self, *what: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self._handle.close()

    def __len__(self) -> int:
        return self.count()

    def __repr__(self) -> str:
        return f"<vecdb.Collection {self.name!r}: {', '.join(self.fields)}>"

    # Writes

    def _write(self, function: Any, data: Union[Columns, Rows]) -> Optional[np.ndarray]:
        batch = Batch(self.fields, data)
        ids = np.empty(batch.rows, np.int64) if self.key.type == Type.INT64 else None
        call(function, self.handle, _c.Ref(batch.raw), ids.ctypes.data if ids is not None else None)
        return ids

    def insert(self, data: Union[Columns, Rows]) -> Optional[np.ndarray]:
        """Writes all rows or none: columns by name, or a list of dicts. A key that is there is
        ExistsError. Gives the INT64 keys."""
        return self._write(_c.lib.vecdb_insert, data)

    def upsert(self, data: Union[Columns, Rows]) -> Optional[np.ndarray]:
        """As insert, but replaces the rows whose keys are there."""
        return self._write(_c.lib.vecdb_upsert, data)

    def update(self, data: Union[Columns, Rows], *, insert: bool = False) -> np.ndarray:
        """Changes some fields of rows that are there: the key and what is to change. insert: rows
        of absent keys are made. Gives a bool per row: whether its key was there."""
        batch = Batch(self.fields, data)
        found = np.zeros(batch.rows, np.uint8)
        call(_c.lib.vecdb_update, self.handle, _c.Ref(batch.raw), int(insert), found.ctypes.data)
        return found.astype(bool)

    # Fields

    def add_fields(self, fields: Sequence[Field], *, progress: Progress = False,
                   timeout: Optional[float] = None) -> None:
        """Adds scalar fields, which rows have as their default or null."""
        keep: list[Any] = []
        self._long(_c.lib.vecdb_fields_add, _c.Ref(make_schema(fields, "", keep)),
                   progress=progress, timeout=timeout)
        self._read_schema()

    def drop_field(self, name: str, *, progress: Progress = False,
                   timeout: Optional[float] = None) -> None:
        """Drops a scalar field."""
        self._long(_c.lib.vecdb_field_drop, name.encode(), progress=progress, timeout=timeout)
        self._read_schema()

    def rename_field(self, name: str, to: str, *, progress: Progress = False,
                     timeout: Optional[float] = None) -> None:
        """Gives a field a new name."""
        self._long(_c.lib.vecdb_field_rename, name.encode(), to.encode(), progress=progress,
                   timeout=timeout)
        self._read_schema()

    def create_json_index(self, field: str, path: str, type: Type, *, progress: Progress = False,
                          timeout: Optional[float] = None) -> None:
        """Gives a JSON field an index of a path, such as '["price"]'; type: DOUBLE, VARCHAR or
        BOOL. Rows that are in files come into it when these are merged (compact)."""
        self._long(_c.lib.vecdb_json_index_create, field.encode(), _c.Ref(json_index(path, type)),
                   progress=progress, timeout=timeout)
        self._read_schema()

    def drop_json_index(self, field: str, path: str, type: Optional[Type] = None, *,
                        progress: Progress = False, timeout: Optional[float] = None) -> None:
        """Drops the index of a path; without a type all that it has."""
        self._long(_c.lib.vecdb_json_index_drop, field.encode(),
                   _c.Ref(json_index(path, type or 0)), progress=progress, timeout=timeout)
        self._read_schema()

    def expire(self, field: Optional[str], ttl: float = 0, *, progress: Progress = False,
               timeout: Optional[float] = None) -> None:
        """Makes rows expire `ttl` seconds after the time in an INT64 field, in milliseconds since
        1970; None: no longer."""
        if not 0 <= ttl < 2**50:
            raise ArgumentError("ttl is not negative")
        self._long(_c.lib.vecdb_expire, field.encode() if field is not None else None,
                   round(ttl * 1000), progress=progress, timeout=timeout)

    @property
    def expiry(self) -> Optional[tuple[str, float]]:
        """The field by which rows expire, and after how many seconds; None when they do not."""
        ttl = ctypes.c_uint64()
        field = _c.lib.vecdb_expiry(self.handle, _c.Ref(ttl))
        return (field.decode(), ttl.value / 1000) if field is not None else None

    def delete(self, keys: Optional[Keys] = None, *, filter: Optional[str] = None,
               params: Optional[Mapping[str, Any]] = None) -> int:
        """Deletes rows by keys, or those that pass a filter; says how many there were."""
        if (keys is None) == (filter is None):
            raise ArgumentError("either keys or a filter")
        keep: list[Any] = []
        deleted = ctypes.c_uint64()
        if keys is None:
            where = make_filter(filter, params, keep)
            call(_c.lib.vecdb_delete_where, self.handle, _c.Ref(where), _c.Ref(deleted), None)
        else:
            call(_c.lib.vecdb_delete, self.handle, _c.Ref(make_keys(keys, keep)),
                 _c.Ref(deleted))
        return deleted.value

    # Reads

    def get(self, keys: Keys, fields: Optional[Sequence[str]] = None) -> list[dict[str, Any]]:
        """The rows of these keys, in their order; keys without a row are left out."""
        keep: list[Any] = []
        wanted, rows = make_keys(keys, keep), ctypes.c_void_p()
        call(_c.lib.vecdb_get, self.handle, _c.Ref(wanted), *make_names(fields), None,
             _c.Ref(rows))
        return take_rows(rows)

    def query(self, filter: Optional[str] = None, params: Optional[Mapping[str, Any]] = None, *,
              fields: Optional[Sequence[str]] = None, limit: int = 0, offset: int = 0,
              after: Optional[Key] = None) -> list[dict[str, Any]]:
        """The rows that pass a filter, in the order of keys; 16,384 at most."""
        if not 0 <= limit < 2**32 or not 0 <= offset < 2**64:
            raise ArgumentError("limit and offset are not negative")
        keep: list[Any] = []
        request, rows = _c.QueryParams(limit=limit, offset=offset), ctypes.c_void_p()
        request.filter = make_filter(filter, params, keep)
        if after is not None:
            request.after = make_keys(after, keep)
        request.fields, request.n_fields = make_names(fields)
        call(_c.lib.vecdb_query, self.handle, _c.Ref(request), _c.Ref(rows))
        return take_rows(rows)

    def scan(self, filter: Optional[str] = None, params: Optional[Mapping[str, Any]] = None, *,
             fields: Optional[Sequence[str]] = None) -> Iterator[dict[str, Any]]:
        """All rows that pass a filter, in the order of keys, read in pages."""
        page = self.query(filter, params, fields=fields, limit=_PAGE)
        while page:
            yield from page
            page = self.query(filter, params, fields=fields, limit=_PAGE,
                              after=page[-1][self.key.name])

    def count(self, filter: Optional[str] = None,
              params: Optional[Mapping[str, Any]] = None) -> int:
        """How many rows pass a filter, or there are."""
        keep: list[Any] = []
        count = ctypes.c_uint64()
        call(_c.lib.vecdb_count, self.handle, _c.Ref(make_filter(filter, params, keep)),
             _c.Ref(count))
        return count.value

    def sparse_counts(self, indices: Any, *, field: Optional[str] = None,
                      filter: Optional[str] = None, params: Optional[Mapping[str, Any]] = None
                      ) -> tuple[np.ndarray, int]:
        """In how many of the rows that pass a filter a sparse field has each index, and how many
        rows that are: for weights such as IDF."""
        keep: list[Any] = []
        wanted, rows = np.ascontiguousarray(indices, np.uint32), ctypes.c_uint64()
        if wanted.ndim != 1:
            raise ArgumentError("indices come in one dimension")
        counts = np.zeros(len(wanted), np.uint64)
        call(_c.lib.vecdb_sparse_counts, self.handle, self._field(field).name.encode(),
             _c.Ref(make_filter(filter, params, keep)), wanted.ctypes.data, len(wanted),
             counts.ctypes.data, _c.Ref(rows))
        return counts, rows.value

    # Search

    def _field(self, name: Optional[str]) -> Field:
        field = self._vector if name is None else self.fields.get(name)
        if field is None:
            if name is None:
                raise ArgumentError("there are several vector fields, or none: name one")
            raise UnknownFieldError(f"no field {name}", field=name)
        if field.type < Type.FLOAT_VECTOR:
            raise UnknownFieldError(f"{name} is no vector", field=name)
        return field

    def _with_rows(self, fields: Optional[Sequence[str]]) -> Optional[Sequence[str]]:
        return [] if fields is None and self.key.type == Type.VARCHAR else fields

    def search(self, queries: Any, k: int = 10, *, field: Optional[str] = None,
               fields: Optional[Sequence[str]] = None, out: Optional[np.ndarray] = None,
               timeout: Optional[float] = None, info: bool = False, **how: Any) -> Hits:
        """The k nearest rows to one query (a vector) or to each of many (a matrix).

        filter, params: only rows that pass; recall, or ef or nprobe: how hard to look; plan, or
        threads for many queries; fields: of the rows, in Hits.rows; out: an array of vecdb.HIT for
        the hits; info: fills Hits.info; timeout: in seconds, after which it gives what it has,
        with info["partial"] set, or without info raises DeadlineError."""
        fields = self._with_rows(fields)
        request = Request(self._field(field), queries, k=k, fields=fields, **how)
        return search(self.handle, request, None, out, timeout, info, fields is not None)

    def searcher(self, k: int = 10, *, field: Optional[str] = None, **how: Any) -> Searcher:
        """A function of one query that gives an array of vecdb.HIT: what search does, with the
        same filter and settings each time, at a fraction of its cost. One thread at a time may
        use it; with VARCHAR keys, search is what gives them."""
        if self.key.type == Type.VARCHAR:
            raise ArgumentError("hits of a searcher have INT64 keys")
        return Searcher(self._handle, self._field(field), k, **how)

    def search_range(self, query: Any, radius: float, *, limit: int = 1000,
                     field: Optional[str] = None, fields: Optional[Sequence[str]] = None,
                     filter: Optional[str] = None, params: Optional[Mapping[str, Any]] = None,
                     timeout: Optional[float] = None) -> Hits:
        """The rows whose score is radius or nearer: the nearest `limit` of them, exactly."""
        fields = self._with_rows(fields)
        request = Request(self._field(field), query, k=limit, fields=fields, filter=filter,
                          params=params)
        return search(self.handle, request, radius, None, timeout, False, fields is not None)

    def search_groups(self, queries: Any, by: str, k: int = 10, *, size: int = 1,
                      field: Optional[str] = None, fields: Optional[Sequence[str]] = None,
                      **how: Any) -> Groups:
        """The k groups of rows with the same value of the field `by` whose nearest row is nearest,
        and the nearest `size` rows of each."""
        fields = self._with_rows(fields)
        request = Request(self._field(field), queries, k=k, fields=fields, **how)
        return search_groups(self.handle, request, by, size, fields is not None)

    def search_hybrid(self, parts: Sequence[Part], k: int = 10, *, fusion: Fusion = Fusion.RRF,
                      rrf_k: float = 0, fields: Optional[Sequence[str]] = None) -> Hits:
        """One ranking out of several searches, of any vector fields."""
        fields = self._with_rows(fields)
        requests = [Request(self._field(part.field), part.queries, k=part.k, **part.how)
                    for part in parts]
        return search_hybrid(self.handle, parts, requests, k, fusion, rrf_k, fields)

    def iterate(self, query: Any, *, batch: int = 100, field: Optional[str] = None,
                fields: Optional[Sequence[str]] = None, **how: Any) -> SearchIterator:
        """Walks outward from a query, `batch` hits at a time, over the rows of this moment."""
        fields = self._with_rows(fields)
        request = Request(self._field(field), query, fields=fields, **how)
        return SearchIterator(self, request, batch, fields is not None)

    def explain(self, queries: Any, k: int = 10, *, field: Optional[str] = None,
                **how: Any) -> str:
        """How a search would be run, in words."""
        request = Request(self._field(field), queries, k=k, **how)
        return text_of(_c.lib.vecdb_explain, self.handle, _c.Ref(request.raw))

    # Maintenance

    def _long(self, function: Any, *arguments: Any, progress: Progress,
              timeout: Optional[float]) -> None:
        with Control(progress, timeout) as control:
            call(function, self.handle, *arguments, control)

    def flush(self, *, progress: Progress = False, timeout: Optional[float] = None) -> None:
        """Seals rows in memory into a segment file."""
        self._long(_c.lib.vecdb_flush, progress=progress, timeout=timeout)

    def compact(self, *, progress: Progress = False, timeout: Optional[float] = None) -> None:
        """Merges segments, leaves out deleted rows and builds indexes."""
        self._long(_c.lib.vecdb_compact, progress=progress, timeout=timeout)

    def wait(self, *, progress: Progress = False, timeout: Optional[float] = None) -> None:
        """Waits until background work is done."""
        self._long(_c.lib.vecdb_wait, progress=progress, timeout=timeout)

    def warm(self, *, progress: Progress = False, timeout: Optional[float] = None) -> None:
        """Brings the files into memory."""
        self._long(_c.lib.vecdb_warm, progress=progress, timeout=timeout)

    def warm_rows(self, filter: Optional[str] = None, params: Optional[Mapping[str, Any]] = None, *,
                  progress: Progress = False, timeout: Optional[float] = None) -> int:
        """Brings the rows that pass a filter into memory, with their part of the indexes; how many
        they are."""
        keep: list[Any] = []
        rows = ctypes.c_uint64()
        self._long(_c.lib.vecdb_warm_rows, _c.Ref(make_filter(filter, params, keep)),
                   _c.Ref(rows), progress=progress, timeout=timeout)
        return rows.value

    def create_index(self, index: str = "AUTO", *, field: Optional[str] = None,
                     progress: Progress = False, timeout: Optional[float] = None) -> None:
        """Sets the index of a vector field, such as "HNSW(m=16)", and builds it."""
        self._long(_c.lib.vecdb_index_create, self._field(field).name.encode(),
                   _c.Ref(parse_index(index)), progress=progress, timeout=timeout)

    def index_list(self, *, field: Optional[str] = None) -> list[dict[str, Any]]:
        """The index of each segment that has one: what it was built with, its bytes, and in
        `points` what searches of one effort found when it was built, as vecdb_recall_point
        names it."""
        found: list[dict[str, Any]] = []

        def visit(user: Any, raw: Any) -> int:
            index = raw[0]
            numbers = ("segment", "rows", "bytes_file", "bytes_memory")
            found.append({
                "index": index_text(index.params), **{n: getattr(index, n) for n in numbers},
                "effort": "nprobe" if index.probes else "ef",
                "points": [{name: getattr(point, name) for name, _ in point._fields_}
                           for point in index.points[:index.n_points]]})
            return 0

        call(_c.lib.vecdb_index_list, self.handle, self._field(field).name.encode(),
             _c.VISIT_INDEX(visit), None)
        return found

    def drop_index(self, *, field: Optional[str] = None) -> None:
        """Drops the index of a vector field: its searches are exact from now on."""
        call(_c.lib.vecdb_index_drop, self.handle, self._field(field).name.encode())

    def stats(self) -> dict[str, Any]:
        """Numbers about the collection, as vecdb_stats names them."""
        stats = _c.Stats()
        call(_c.lib.vecdb_collection_stats, self.handle, _c.Ref(stats))
        return {name: getattr(stats, name) for name, *_ in stats._fields_[1:]}
