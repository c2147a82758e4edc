"""Columns of a batch, from NumPy arrays and Python lists.

An array of the field's own type is handed over as a pointer and a stride; all else is converted.
"""

from __future__ import annotations

import ctypes
from typing import Any, Mapping, Sequence, Union

import numpy as np

from . import _c
from .errors import (ArgumentError, DimensionError, RangeError, TypeMismatchError,
                     UnknownFieldError, VecdbError)
from .schema import DTYPES, Field, Type
from .values import PAIR, address, json_text, strings

Columns = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


def as_columns(data: Union[Columns, Rows]) -> Columns:
    """Columns of either columns or rows; what a row lacks is None."""
    if isinstance(data, Mapping):
        return data
    names = dict.fromkeys(name for row in data for name in row)
    return {name: [row.get(name) for row in data] for name in names}


def convert(values: Any, dtype: np.dtype, field: Field) -> np.ndarray:
    """An array of the wanted type: the same one if it is of that type already."""
    try:
        array = np.asarray(values)
        if array.dtype == dtype or (array.size == 0 and array.dtype == np.float64):
            return array.astype(dtype, copy=False)
    except (ValueError, OverflowError) as problem:
        raise TypeMismatchError(f"{field.name}: {problem}", field=field.name) from None
    wanted, given = dtype.kind, array.dtype.kind
    if wanted in "iu" and given in "iu":
        limits = np.iinfo(dtype)
        bad = (array < limits.min) | (array > limits.max)
        if bad.any():
            row = int(np.argwhere(bad)[0][0])
            raise RangeError(f"{field.name}: a number does not fit {dtype}", field=field.name,
                             row=row)
    elif not (wanted == "f" and given in "iuf"):
        raise TypeMismatchError(f"{field.name}: {array.dtype} for {dtype}", field=field.name)
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def _strided(array: np.ndarray) -> np.ndarray:
    """The array itself, if rows are a positive stride apart and whole; a copy otherwise."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return array
    inner = array.ndim == 1 or array.shape[1] <= 1 or array.strides[1] == array.itemsize
    fits = array.dtype.isnative and flags.aligned and len(array) and array.strides[0] > 0
    return array if inner and fits else np.ascontiguousarray(array)


def vectors(values: Any, field: Field) -> tuple[np.ndarray, int]:
    """Vectors of a dense field, a row each, and their dimension."""
    dtype = DTYPES[field.type]
    if field.type == Type.BFLOAT16_VECTOR and getattr(values, "dtype", None) != np.uint16:
        array = bfloat16(convert(values, np.dtype(np.float32), field))
    else:
        array = convert(values, dtype, field)
    if array.ndim != 2:
        raise DimensionError(f"{field.name}: vectors come as rows of one length",
                             field=field.name)
    dim = array.shape[1] * (8 if field.type == Type.BINARY_VECTOR else 1)
    if dim != field.dim:
        raise DimensionError(f"{field.name}: vectors of {dim} dimensions, not {field.dim}",
                             field=field.name)
    return _strided(array), dim


def bfloat16(floats: np.ndarray) -> np.ndarray:
    """The bits of bfloat16 of an array of float32."""
    floats = np.ascontiguousarray(floats)
    out = np.empty(floats.shape, np.uint16)
    _c.lib.vecdb_to_bfloat16(floats.ctypes.data, out.ctypes.data, floats.size)
    return out


def sparse(values: Sequence[Any], field: Field, keep: list[Any]) -> "ctypes.Array[_c.Sparse]":
    """Sparse vectors: mappings of indices to values, or arrays of vecdb.PAIR."""
    out = (_c.Sparse * len(values))()
    for row, (item, vector) in enumerate(zip(out, values)):
        try:
            pairs = (vector if isinstance(vector, np.ndarray)
                     else np.array(sorted(vector.items()), PAIR))
        except (AttributeError, TypeError, ValueError, OverflowError):
            pairs = None
        if pairs is None or pairs.dtype != PAIR:
            raise TypeMismatchError(f"{field.name}: a sparse vector maps indices to numbers",
                                    field=field.name, row=row)
        pairs = np.ascontiguousarray(pairs)
        keep.append(pairs)
        item.pairs, item.n = pairs.ctypes.data, len(pairs)
    keep.append(out)
    return out


class Batch:
    """A vecdb_batch, and what it points to, alive as long as this object."""

    def __init__(self, fields: Mapping[str, Field], data: Union[Columns, Rows]) -> None:
        columns = as_columns(data)
        if not columns:
            raise ArgumentError("a batch has columns and rows")
        self.keep: list[Any] = []
        self.rows = -1
        self.columns = (_c.Column * len(columns))()
        for out, (name, values) in zip(self.columns, columns.items()):
            if name not in fields:
                raise UnknownFieldError(f"no field {name}", field=name)
            out.field = name.encode()
            self._column(out, fields[name], values)
        self.raw = _c.Batch(column_size=ctypes.sizeof(_c.Column), columns=self.columns,
                            n_columns=len(columns), n_rows=self.rows)

    def _column(self, out: _c.Column, field: Field, values: Any) -> None:
        if not hasattr(values, "__len__") or isinstance(values, (str, bytes)):
            raise TypeMismatchError(f"{field.name}: a column is an array or a list",
                                    field=field.name)
        if self.rows not in (-1, len(values)):
            raise ArgumentError(f"{field.name}: {len(values)} rows beside {self.rows}",
                                field=field.name)
        self.rows = len(values)
        if field.type == Type.SPARSE_VECTOR:
            out.data = ctypes.addressof(sparse(values, field, self.keep))
        elif field.type >= Type.FLOAT_VECTOR:
            array, out.dim = vectors(values, field)
            self._array(out, array)
        elif field.type in (Type.VARCHAR, Type.JSON, Type.ARRAY):
            put = {Type.VARCHAR: self._texts, Type.JSON: self._json, Type.ARRAY: self._arrays}
            put[field.type](out, field, self._nulls(out, values))
        else:
            values = self._nulls(out, values)
            if out.valid:
                values = [0 if value is None else value for value in values]
            array = convert(values, DTYPES[field.type], field)
            if array.ndim != 1:
                raise TypeMismatchError(f"{field.name}: one number a row", field=field.name)
            self._array(out, _strided(array))

    def _array(self, out: _c.Column, array: np.ndarray) -> None:
        self.keep.append(array)
        out.data = address(array)
        out.stride = array.strides[0] if len(array) > 1 else 0

    def _nulls(self, out: _c.Column, values: Any) -> Any:
        """The column as it came, with a byte per row where some are None."""
        if isinstance(values, np.ndarray):
            if values.dtype.kind not in "OUS":
                return values
            values = values.tolist()
        valid = np.fromiter((value is not None for value in values), np.uint8, len(values))
        if not valid.all():
            self.keep.append(valid)
            out.valid = valid.ctypes.data
        return values

    def _pointers(self, out: _c.Column, buffers: list[Any], lengths: list[int]) -> None:
        counts = np.array(lengths, np.uint32)
        out.lengths = counts.ctypes.data
        self.keep += [buffers, counts]

    def _json(self, out: _c.Column, field: Field, values: Sequence[Any]) -> None:
        texts: list[Any] = []
        for row, value in enumerate(values):
            try:
                texts.append(None if value is None else json_text(value))
            except VecdbError as problem:
                raise TypeMismatchError(f"{field.name}: {problem}", field=field.name,
                                        row=row) from None
        self._texts(out, field, texts)

    def _texts(self, out: _c.Column, field: Field, values: Sequence[Any]) -> None:
        texts = []
        for row, value in enumerate(values):
            if value is not None and not isinstance(value, (str, bytes)):
                raise TypeMismatchError(f"{field.name}: {type(value).__name__} for a text",
                                        field=field.name, row=row)
            texts.append(value.encode("utf-8", "surrogatepass") if isinstance(value, str)
                         else value or b"")
        array = (ctypes.c_char_p * len(texts))(*texts)
        self._pointers(out, [texts, array], [len(text) for text in texts])
        out.data = ctypes.addressof(array)

    def _arrays(self, out: _c.Column, field: Field, values: Sequence[Any]) -> None:
        rows: list[Any] = []
        addresses = np.zeros(len(values), np.uint64)
        for row, value in enumerate(values):
            items = [] if value is None else value
            try:
                if field.element_type == Type.VARCHAR:
                    rows.append(strings(items, self.keep))
                    addresses[row] = ctypes.addressof(rows[-1])
                else:
                    rows.append(np.ascontiguousarray(
                        convert(items, DTYPES[Type(field.element_type or 0)], field)))
                    addresses[row] = rows[-1].ctypes.data
            except VecdbError as problem:
                problem.row = row
                raise
            except (AttributeError, TypeError):
                raise TypeMismatchError(f"{field.name}: a row is a list of its elements",
                                        field=field.name, row=row) from None
        self._pointers(out, [rows, addresses], [len(items) for items in rows])
        out.data = addresses.ctypes.data
