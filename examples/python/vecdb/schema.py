"""Types, metrics and fields: what a collection is made of."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Optional, Sequence

import numpy as np

from . import _c
from .errors import SchemaError, raise_error
from .values import fill_value, json_text, read_value


class Type(IntEnum):
    """Types of fields."""

    BOOL = 1
    INT8 = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    FLOAT = 6
    DOUBLE = 7
    VARCHAR = 8
    ARRAY = 9
    JSON = 10
    FLOAT_VECTOR = 32
    FLOAT16_VECTOR = 33
    BFLOAT16_VECTOR = 34
    INT8_VECTOR = 35
    BINARY_VECTOR = 36
    SPARSE_VECTOR = 37


class Metric(IntEnum):
    """How vectors are compared; vecdb.h says what the scores are."""

    DEFAULT = 0
    L2 = 1
    IP = 2
    COSINE = 3
    HAMMING = 4
    JACCARD = 5


PRIMARY_KEY, AUTO_ID, NULLABLE, HAS_DEFAULT, ALLOW_ZERO, NOW, UUID = (1 << bit for bit in range(7))

DTYPES = {Type.BOOL: np.dtype(np.bool_), Type.INT8: np.dtype(np.int8),
          Type.INT16: np.dtype(np.int16), Type.INT32: np.dtype(np.int32),
          Type.INT64: np.dtype(np.int64), Type.FLOAT: np.dtype(np.float32),
          Type.DOUBLE: np.dtype(np.float64), Type.FLOAT_VECTOR: np.dtype(np.float32),
          Type.FLOAT16_VECTOR: np.dtype(np.float16), Type.BFLOAT16_VECTOR: np.dtype(np.uint16),
          Type.INT8_VECTOR: np.dtype(np.int8), Type.BINARY_VECTOR: np.dtype(np.uint8)}


@dataclass(frozen=True)
class Field:
    """A field of a schema. `index` is text such as "HNSW(m=16)" or "IVF_PQ(nlist=256)".
    `default_now` (INT64, milliseconds since 1970) and `default_uuid` (VARCHAR) are defaults that
    are computed when a row is written. `json_indexes` of a JSON field are pairs of a path, such as
    '["price"]', and the type of what is found there: DOUBLE, VARCHAR or BOOL."""

    name: str
    type: Type
    dim: int = 0
    metric: Metric = Metric.DEFAULT
    primary_key: bool = False
    auto_id: bool = False
    nullable: bool = False
    default: Any = None
    max_length: int = 65535
    max_capacity: int = 4096
    element_type: Optional[Type] = None
    allow_zero: bool = False
    index: str = ""
    description: str = ""
    default_now: bool = False
    default_uuid: bool = False
    json_indexes: tuple[tuple[str, Type], ...] = ()

    def fill(self, out: _c.Field, keep: list[Any]) -> None:
        """Writes the field to a struct; `keep` collects what the struct points to."""
        text = self.type in (Type.VARCHAR, Type.JSON) or self.element_type == Type.VARCHAR
        out.name = self.name.encode()
        out.description = self.description.encode() or None
        out.type, out.element_type = self.type, self.element_type or 0
        out.dim, out.metric = self.dim, self.metric
        out.max_length = self.max_length if text else 0
        out.max_capacity = self.max_capacity if self.type == Type.ARRAY else 0
        out.flags = (self.primary_key * PRIMARY_KEY | self.auto_id * AUTO_ID
                     | self.nullable * NULLABLE | self.allow_zero * ALLOW_ZERO
                     | self.default_now * NOW | self.default_uuid * UUID
                     | (self.default is not None) * HAS_DEFAULT)
        if self.index:
            out.index = parse_index(self.index)
        if self.json_indexes:
            indexes = [json_index(path, kind) for path, kind in self.json_indexes]
            array = (_c.JsonIndex * len(indexes))(*indexes)
            keep.append(array)
            out.json_indexes, out.n_json_indexes = array, len(indexes)
        if self.default is not None:
            if self.type in (Type.FLOAT, Type.DOUBLE):
                fill_value(out.default_value, float(self.default), keep)
            elif self.type == Type.JSON:
                fill_value(out.default_value, json_text(self.default).decode(), keep)
            else:
                fill_value(out.default_value, self.default, keep)
            out.default_value.type = self.type
            out.default_value.element_type = self.element_type or 0


def json_index(path: str, type: int) -> _c.JsonIndex:
    """The struct of an index of a JSON path; type 0 of every type, to be dropped."""
    return _c.JsonIndex(path.encode(), type)


def parse_index(text: str) -> _c.IndexParams:
    """The parameters that a text such as "HNSW(m=32)" names."""
    params, error = _c.IndexParams(), _c.Error()
    if _c.lib.vecdb_index_params_parse(text.encode(), _c.Ref(params), _c.Ref(error)):
        raise_error(error)
    return params


def index_estimate(index: str, *, dim: int, rows: int, type: Type = Type.FLOAT_VECTOR,
                   metric: Metric = Metric.DEFAULT, threads: int = 0) -> dict[str, Any]:
    """The bytes that building an index over so many rows takes at most, and its type: what AUTO
    stands for. `build` is the sum of the others; threads 0: one per processor."""
    field, need, error = _c.Field(), _c.IndexNeed(), _c.Error()
    Field("v", type, dim=dim, metric=metric).fill(field, [])
    if _c.lib.vecdb_index_estimate(_c.Ref(field), _c.Ref(parse_index(index)), rows, threads,
                                   _c.Ref(need), _c.Ref(error)):
        raise_error(error)
    figures = {name: getattr(need, name) for name, *_ in need._fields_[2:]}
    return {"type": _c.lib.vecdb_index_type_name(need.type).decode(), **figures}


def index_text(params: _c.IndexParams) -> str:
    """The text that parse_index would take, as far as it differs from the default."""
    name = _c.lib.vecdb_index_type_name(params.type).decode()
    numbers = ("m", "ef_construction", "ef", "nlist", "nprobe", "pq_m", "nbits", "recall")
    given = [f"{key}={getattr(params, key):.6g}" for key in numbers if getattr(params, key)]
    refine = ("", "none", "f32", "f16", "i8")[params.refine]
    rotation = ("", "none", "random", "opq")[params.rotation]
    given += [f"refine={refine}"] if refine else []
    given += [f"rotation={rotation}"] if rotation else []
    given += [f"memory={params.memory_bytes}"] if params.memory_bytes else []
    return f"{name}({', '.join(given)})" if given else name


def read_field(raw: _c.Field) -> Field:
    """A field as the library describes it."""
    kind = Type(raw.type)
    return Field(
        name=raw.name.decode(), type=kind, dim=raw.dim, metric=Metric(raw.metric),
        primary_key=bool(raw.flags & PRIMARY_KEY), auto_id=bool(raw.flags & AUTO_ID),
        nullable=bool(raw.flags & NULLABLE), allow_zero=bool(raw.flags & ALLOW_ZERO),
        default=read_value(raw.default_value) if raw.flags & HAS_DEFAULT else None,
        max_length=raw.max_length, max_capacity=raw.max_capacity,
        element_type=Type(raw.element_type) if raw.element_type else None,
        index=index_text(raw.index) if kind >= Type.FLOAT_VECTOR else "",
        description=(raw.description or b"").decode(),
        default_now=bool(raw.flags & NOW), default_uuid=bool(raw.flags & UUID),
        json_indexes=tuple((raw.json_indexes[i].path.decode(), Type(raw.json_indexes[i].type))
                           for i in range(raw.n_json_indexes)))


def make_schema(fields: Sequence[Field], description: str, keep: list[Any]) -> _c.Schema:
    """The struct of a schema."""
    if not fields or not all(isinstance(field, Field) for field in fields):
        raise SchemaError("a schema has fields, each a vecdb.Field")
    array = (_c.Field * len(fields))()
    for field, out in zip(fields, array):
        field.fill(out, keep)
    keep.append(array)
    return _c.Schema(field_size=ctypes.sizeof(_c.Field), fields=array, n_fields=len(fields),
                     description=description.encode() or None)
