"""vecdb.h for ctypes: its structs, field by field, and its functions.

ctypes releases the interpreter's lock around every call of a CDLL function, so that other threads
run while the library searches, writes or builds.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_int64
from ctypes import c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

Ref = ctypes.byref


class Error(ctypes.Structure):
    _fields_ = [("code", c_int32), ("os_code", c_int32), ("row", c_int64), ("position", c_int64),
                ("field", c_char * 64), ("message", c_char * 384)]


class Sized(ctypes.Structure):
    """A struct that starts with its own size."""

    def __init__(self, **values: Any) -> None:
        super().__init__(ctypes.sizeof(self), **values)


PROGRESS = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_uint64, c_uint64)
GET_KEY = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)


class Control(Sized):
    _fields_ = [("size", c_uint32), ("timeout_ms", c_uint32), ("cancel", c_void_p),
                ("progress", PROGRESS), ("user", c_void_p)]


class Encryption(Sized):
    _fields_ = [("size", c_uint32), ("key_id", c_char_p), ("get_key", GET_KEY),
                ("wrap", c_void_p), ("unwrap", c_void_p), ("user", c_void_p)]


class Options(Sized):
    _fields_ = [("size", c_uint32), ("flags", c_uint32), ("durability", c_int32),
                ("interval_ms", c_uint32), ("verify", c_int32), ("threads", c_uint32),
                ("seal_rows", c_uint32), ("index_rows", c_uint32), ("recall_every", c_uint32),
                ("seal_bytes", c_uint64), ("wal_bytes", c_uint64), ("memory_limit", c_uint64),
                ("seed", c_uint64), ("allocator", c_void_p), ("vfs", c_void_p),
                ("clock", c_void_p), ("log", c_void_p), ("log_user", c_void_p),
                ("control", POINTER(Control)), ("encryption", POINTER(Encryption)),
                ("cache_bytes", c_uint64), ("device", c_char_p), ("device_module", c_char_p),
                ("device_memory", c_uint64), ("vector_cache_bytes", c_uint64)]


class RefreshInfo(Sized):
    _fields_ = [("size", c_uint32), ("reloaded", c_uint32), ("records", c_uint64),
                ("sequence", c_uint64), ("age_ms", c_uint64), ("reloads", c_uint64)]


class IndexParams(Sized):
    _fields_ = [("size", c_uint32), ("type", c_int32), ("m", c_uint32),
                ("ef_construction", c_uint32), ("ef", c_uint32), ("nlist", c_uint32),
                ("nprobe", c_uint32), ("pq_m", c_uint32), ("nbits", c_uint32),
                ("refine", c_int32), ("rotation", c_int32), ("recall", c_float),
                ("memory_bytes", c_uint64)]


class Value(ctypes.Structure):
    # `bits` is the union `as`: ctypes cannot pass structs with unions in them by value.
    _fields_ = [("type", c_int32), ("length", c_uint32), ("bits", c_uint64),
                ("element_type", c_int32)]


class String(ctypes.Structure):
    _fields_ = [("data", c_char_p), ("length", c_size_t)]


class Sparse(ctypes.Structure):
    _fields_ = [("pairs", c_void_p), ("n", c_size_t)]


class JsonIndex(ctypes.Structure):
    _fields_ = [("path", c_char_p), ("type", c_int32)]


class Field(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("description", c_char_p), ("type", c_int32),
                ("element_type", c_int32), ("flags", c_uint32), ("dim", c_uint32),
                ("max_length", c_uint32), ("max_capacity", c_uint32), ("metric", c_int32),
                ("scalar_index", c_int32), ("index", IndexParams), ("default_value", Value),
                ("json_indexes", POINTER(JsonIndex)), ("n_json_indexes", c_uint32)]


class Schema(Sized):
    _fields_ = [("size", c_uint32), ("field_size", c_uint32), ("description", c_char_p),
                ("fields", POINTER(Field)), ("n_fields", c_uint32)]


class Column(ctypes.Structure):
    _fields_ = [("field", c_char_p), ("data", c_void_p), ("stride", c_size_t),
                ("lengths", c_void_p), ("valid", c_void_p), ("dim", c_uint32)]


class Batch(Sized):
    _fields_ = [("size", c_uint32), ("column_size", c_uint32), ("columns", POINTER(Column)),
                ("n_columns", c_uint32), ("n_rows", c_uint32)]


class Keys(ctypes.Structure):
    _fields_ = [("integers", c_void_p), ("strings", POINTER(String)), ("n", c_size_t)]


class Param(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("value", Value)]


class Filter(ctypes.Structure):
    _fields_ = [("text", c_char_p), ("length", c_size_t), ("params", POINTER(Param)),
                ("n_params", c_size_t)]


class Optimizer(Sized):
    _fields_ = [("size", c_uint32), ("kind", c_int32), ("window", c_uint32), ("unit", c_uint32),
                ("rate", c_float), ("beta1", c_float), ("beta2", c_float), ("epsilon", c_float)]


class PushParams(Sized):
    _fields_ = [("size", c_uint32), ("kind", c_int32), ("flags", c_uint32), ("dim", c_uint32),
                ("field", c_char_p), ("keys", POINTER(Keys)), ("values", c_void_p),
                ("stride", c_size_t), ("expected", c_void_p)]


class GroupBy(Sized):
    _fields_ = [("size", c_uint32), ("hits", c_uint32), ("field", c_char_p)]


class QueryParams(Sized):
    _fields_ = [("size", c_uint32), ("limit", c_uint32), ("offset", c_uint64),
                ("filter", Filter), ("after", Keys), ("fields", POINTER(c_char_p)),
                ("n_fields", c_size_t), ("control", POINTER(Control))]


class SearchParams(Sized):
    _fields_ = [("size", c_uint32), ("k", c_uint32), ("field", c_char_p), ("queries", c_void_p),
                ("query_stride", c_size_t), ("n_queries", c_uint32), ("dim", c_uint32),
                ("filter", Filter), ("ef", c_uint32), ("nprobe", c_uint32), ("recall", c_float),
                ("plan", c_int32), ("threads", c_uint32), ("flags", c_uint32),
                ("beam", c_uint32), ("fields", POINTER(c_char_p)), ("n_fields", c_size_t),
                ("control", POINTER(Control))]


class HybridSearch(ctypes.Structure):
    _fields_ = [("search", SearchParams), ("weight", c_float), ("bounded", c_uint32),
                ("radius", c_float)]


class HybridParams(Sized):
    _fields_ = [("size", c_uint32), ("search_size", c_uint32), ("searches", POINTER(HybridSearch)),
                ("n_searches", c_uint32), ("k", c_uint32), ("fusion", c_int32),
                ("rrf_k", c_float), ("fields", POINTER(c_char_p)), ("n_fields", c_size_t),
                ("control", POINTER(Control))]


class SearchInfo(Sized):
    _fields_ = [("size", c_uint32), ("partial", c_uint32), ("segments", c_uint32),
                ("segments_exact", c_uint32), ("segments_graph", c_uint32),
                ("segments_late", c_uint32), ("segments_codes", c_uint32),
                ("fallbacks", c_uint32), ("rows", c_uint64), ("rows_allowed", c_uint64),
                ("distances", c_uint64), ("elapsed_ns", c_uint64), ("reads", c_uint64),
                ("cached", c_uint64), ("segments_device", c_uint64)]


class Stats(Sized):
    _fields_ = [("size", c_uint32), ("segments_growing", c_uint32),
                ("segments_sealed", c_uint32), ("segments_indexed", c_uint32),
                ("rows", c_uint64), ("rows_deleted", c_uint64), ("bytes_memory", c_uint64),
                ("bytes_files", c_uint64), ("bytes_index", c_uint64), ("bytes_wal", c_uint64),
                ("bytes_allocated", c_uint64), ("syncs", c_uint64), ("sync_ns", c_uint64),
                ("commits", c_uint64), ("searches", c_uint64), ("jobs_pending", c_uint64),
                ("merges", c_uint64), ("merge_ns", c_uint64), ("merge_bytes", c_uint64),
                ("index_builds", c_uint64), ("index_build_ns", c_uint64), ("recall_checks", c_uint64),
                ("recall", c_double)]


class RecallPoint(ctypes.Structure):
    _fields_ = [("effort", c_uint32), ("distances", c_float), ("recall_1", c_float),
                ("recall_10", c_float), ("recall_100", c_float)]


class SegmentIndex(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("n_points", c_uint32), ("segment", c_uint64),
                ("rows", c_uint64), ("bytes_file", c_uint64), ("bytes_memory", c_uint64),
                ("params", IndexParams), ("probes", c_uint32), ("reserved", c_uint32),
                ("points", POINTER(RecallPoint))]


class Memory(Sized):
    _fields_ = [("size", c_uint32), ("reserved", c_uint32), ("limit", c_uint64),
                ("total", c_uint64), ("rows", c_uint64), ("writes", c_uint64),
                ("files", c_uint64), ("indexes", c_uint64), ("builds", c_uint64),
                ("searches", c_uint64), ("results", c_uint64), ("cache", c_uint64),
                ("other", c_uint64), ("refused", c_uint64), ("cache_hits", c_uint64),
                ("cache_misses", c_uint64), ("cache_entries", c_uint64),
                ("vectors", c_uint64), ("vector_hits", c_uint64), ("vector_misses", c_uint64),
                ("vector_entries", c_uint64)]


class IndexNeed(Sized):
    _fields_ = [("size", c_uint32), ("type", c_int32), ("build", c_uint64), ("codes", c_uint64),
                ("graph", c_uint64), ("lists", c_uint64), ("scratch", c_uint64)]


class Device(Sized):
    _fields_ = [("size", c_uint32), ("present", c_uint32), ("name", c_char * 128),
                ("limit", c_uint64), ("bytes", c_uint64), ("sets", c_uint64),
                ("evicted", c_uint64), ("queries", c_uint64), ("failures", c_uint64),
                ("busy_ns", c_uint64)]


VISIT_NAME = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p)
VISIT_INDEX = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(SegmentIndex))
REPORT = ctypes.CFUNCTYPE(None, c_void_p, c_char_p)

_P = c_void_p  # handles, and pointers to structs that the caller passes by reference
_CALLS = {  # name: arguments; all of these return a status
    "open": [c_char_p, _P, _P, _P],
    "close": [_P, _P],
    "refresh": [_P, c_uint32, _P, _P],
    "rekey": [_P, c_char_p, c_uint32, _P],
    "device_stats": [_P, _P, _P],
    "flush_all": [_P, _P, _P],
    "memory_stats": [_P, _P, _P],
    "index_estimate": [_P, _P, c_uint64, c_uint32, _P, _P],
    "warm_rows": [_P, _P, _P, _P, _P],
    "collection_create": [_P, c_char_p, _P, _P, _P],
    "collection_get": [_P, c_char_p, _P, _P],
    "collection_drop": [_P, c_char_p, _P],
    "collection_list": [_P, VISIT_NAME, _P, _P],
    "index_params_parse": [c_char_p, _P, _P],
    "insert": [_P, _P, _P, _P],
    "upsert": [_P, _P, _P, _P],
    "update": [_P, _P, c_uint32, _P, _P],
    "fields_add": [_P, _P, _P, _P],
    "field_drop": [_P, c_char_p, _P, _P],
    "json_index_create": [_P, c_char_p, _P, _P, _P],
    "json_index_drop": [_P, c_char_p, _P, _P, _P],
    "field_rename": [_P, c_char_p, c_char_p, _P, _P],
    "expire": [_P, c_char_p, c_uint64, _P, _P],
    "optimizer_set": [_P, c_char_p, _P, _P, _P],
    "optimizer_get": [_P, c_char_p, _P, _P],
    "push": [_P, _P, _P, _P],
    "pull": [_P, c_char_p, _P, _P, c_size_t, _P, _P],
    "delete": [_P, _P, _P, _P],
    "delete_where": [_P, _P, _P, _P, _P],
    "get": [_P, _P, _P, c_size_t, _P, _P, _P],
    "query": [_P, _P, _P, _P],
    "count": [_P, _P, _P, _P],
    "sparse_counts": [_P, c_char_p, _P, _P, c_size_t, _P, _P, _P],
    "search": [_P] * 7,
    "search_groups": [_P] * 8,
    "search_hybrid": [_P] * 7,
    "search_range": [_P, _P, c_float, _P, _P, _P, _P, _P],
    "iterator_open": [_P, _P, _P, _P],
    "iterator_next": [_P, c_uint32, _P, _P, _P, _P],
    "explain": [_P, _P, _P, c_size_t, _P, _P],
    "flush": [_P, _P, _P],
    "compact": [_P, _P, _P],
    "index_create": [_P, c_char_p, _P, _P, _P],
    "index_drop": [_P, c_char_p, _P],
    "index_list": [_P, c_char_p, VISIT_INDEX, _P, _P],
    "wait": [_P, _P, _P],
    "warm": [_P, _P, _P],
    "collection_stats": [_P, _P, _P],
    "check": [_P, REPORT, _P, _P, _P],
    "backup": [_P, c_char_p, _P, _P],
    "restore": [c_char_p, c_char_p, _P, _P],
}
_OTHERS = {  # name: result, arguments
    "status_name": (c_char_p, [c_int]),
    "version": (c_char_p, []),
    "version_number": (c_uint32, []),
    "kernels": (c_char_p, []),
    "collection_release": (None, [_P]),
    "collection_schema": (POINTER(Schema), [_P]),
    "expiry": (c_char_p, [_P, _P]),
    "rows_free": (None, [_P]),
    "rows_count": (c_size_t, [_P]),
    "rows_n_fields": (c_size_t, [_P]),
    "rows_field": (c_char_p, [_P, c_size_t]),
    "rows_value": (Value, [_P, c_size_t, c_size_t]),
    "iterator_close": (None, [_P]),
    "index_type_name": (c_char_p, [c_int32]),
    "to_bfloat16": (None, [_P, _P, c_size_t]),
}


def _load() -> ctypes.CDLL:
    """The library of the wheel, or the one that VECDB_LIBRARY names."""
    path = os.environ.get("VECDB_LIBRARY") or str(Path(__file__).with_name("libvecdb.so"))
    library = ctypes.CDLL(path)
    for name, arguments in _CALLS.items():
        function = getattr(library, "vecdb_" + name)
        function.argtypes, function.restype = arguments, c_int
    for name, (result, arguments) in _OTHERS.items():
        function = getattr(library, "vecdb_" + name)
        function.argtypes, function.restype = arguments, result
    return library


lib = _load()
