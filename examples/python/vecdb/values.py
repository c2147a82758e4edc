"""Single values, keys, filters and rows, between Python and the library's structs."""

from __future__ import annotations

import ctypes
import json
import struct
from typing import Any, Mapping, Optional, Sequence, Union

import numpy as np

from . import _c
from .errors import ArgumentError, TypeMismatchError

Key = Union[int, str]
PAIR = np.dtype([("index", np.uint32), ("value", np.float32)])

_BOOL, _INT64, _DOUBLE, _VARCHAR, _ARRAY, _JSON = 1, 5, 7, 8, 9, 10
_ELEMENTS: dict[int, Any] = {
    1: np.bool_, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 6: np.float32, 7: np.float64,
    32: np.float32, 33: np.float16, 34: np.uint16, 35: np.int8, 36: np.uint8, 37: PAIR}


def address(array: np.ndarray) -> int:
    """Where an array starts. Its `ctypes.data` says so too, in three times the time."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):  # read-only, strided or empty
        return array.ctypes.data


def bits_of(data: bytes) -> int:
    return int.from_bytes(data.ljust(8, b"\0"), "little")


def strings(texts: Sequence[Union[str, bytes]], keep: list[Any]) -> "ctypes.Array[_c.String]":
    """A C array of strings with lengths."""
    array = (_c.String * len(texts))()
    for out, text in zip(array, texts):
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        out.data, out.length = data, len(data)
    keep.append(array)
    return array


def json_text(value: Any) -> bytes:
    """The text of a value of a JSON field; bytes are such a text themselves."""
    if isinstance(value, bytes):
        return value

    def plain(other: Any) -> Any:
        if isinstance(other, (np.generic, np.ndarray)):
            return other.tolist()
        raise TypeError(f"{type(other).__name__} has no form in JSON")

    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"),
                          default=plain)
    except (TypeError, ValueError, RecursionError) as problem:
        raise TypeMismatchError(str(problem)) from None
    return text.encode("utf-8", "surrogatepass")


def fill_value(out: _c.Value, value: Any, keep: list[Any]) -> None:
    """Writes a Python value, a list of such, or a NumPy scalar to a struct."""
    if value is None:
        out.type = 0
    elif isinstance(value, (bool, np.bool_)):
        out.type, out.bits = _BOOL, int(value)
    elif isinstance(value, (int, np.integer)):
        if not -2**63 <= int(value) < 2**63:
            raise TypeMismatchError(f"{value} does not fit 64 bits")
        out.type, out.bits = _INT64, int(value) & (2**64 - 1)
    elif isinstance(value, (float, np.floating)):
        out.type, out.bits = _DOUBLE, bits_of(struct.pack("<d", value))
    elif isinstance(value, str):
        data = ctypes.create_string_buffer(value.encode("utf-8", "surrogatepass"))
        keep.append(data)
        out.type, out.length, out.bits = _VARCHAR, len(data) - 1, ctypes.addressof(data)
    elif isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        _fill_list(out, list(value), keep)
    else:
        raise TypeMismatchError(f"no value of a filter or default: {type(value).__name__}")


def _fill_list(out: _c.Value, values: list[Any], keep: list[Any]) -> None:
    out.type, out.length = _ARRAY, len(values)
    if values and all(isinstance(value, str) for value in values):
        out.element_type, out.bits = _VARCHAR, ctypes.addressof(strings(values, keep))
        return
    array = np.array(values) if values else np.empty(0, np.int64)
    kinds = {"b": (_BOOL, np.bool_), "i": (_INT64, np.int64), "f": (_DOUBLE, np.float64)}
    if array.dtype.kind not in kinds or array.ndim != 1:
        raise TypeMismatchError("a list has elements of one type: bool, int, float or str")
    out.element_type, dtype = kinds[array.dtype.kind]
    array = np.ascontiguousarray(array, dtype)
    keep.append(array)
    out.bits = array.ctypes.data


def read_value(value: _c.Value) -> Any:
    """The Python value of a struct; vectors and arrays are copied, as rows live shortly."""
    kind, bits = value.type, value.bits
    if kind == 0:
        return None
    if kind == _BOOL:
        return bool(bits & 0xFF)
    if kind <= _INT64:
        return bits - 2**64 if bits >> 63 else bits
    if kind <= _DOUBLE:
        return struct.unpack("<d", struct.pack("<Q", bits))[0]
    if kind == _VARCHAR:
        return ctypes.string_at(bits, value.length).decode() if value.length else ""
    if kind == _JSON:
        return json.loads(ctypes.string_at(bits, value.length))
    if kind == _ARRAY:
        return _read_array(value)
    dtype = np.dtype(_ELEMENTS[kind])
    n = value.length // 8 if kind == 36 else value.length
    return np.frombuffer(ctypes.string_at(bits, n * dtype.itemsize), dtype) if n else (
        np.empty(0, dtype))


def _read_array(value: _c.Value) -> list[Any]:
    if not value.length:
        return []
    if value.element_type == _VARCHAR:
        # Addresses and lengths: the bytes need not end with NUL.
        pairs = np.frombuffer(ctypes.string_at(value.bits, 16 * value.length), np.uint64)
        return [ctypes.string_at(int(data), int(length)).decode() if length else ""
                for data, length in pairs.reshape(-1, 2)]
    dtype = np.dtype(_ELEMENTS[value.element_type])
    data = ctypes.string_at(value.bits, value.length * dtype.itemsize)
    return list(np.frombuffer(data, dtype).tolist())


def make_keys(keys: Union[Key, Sequence[Key], np.ndarray], keep: list[Any]) -> _c.Keys:
    """One key or many."""
    if isinstance(keys, (int, str, np.integer)):
        keys = [keys]
    if isinstance(keys, np.ndarray) and keys.dtype.kind in "iu":
        array = np.ascontiguousarray(keys, np.int64)
    else:
        keys = list(keys)
        if keys and all(isinstance(key, str) for key in keys):
            return _c.Keys(strings=strings([str(key) for key in keys], keep), n=len(keys))
        if not all(isinstance(key, (int, np.integer)) and not isinstance(key, bool)
                   and -2**63 <= key < 2**63 for key in keys):
            raise TypeMismatchError("keys are integers of 64 bits, or texts")
        array = np.array(keys, np.int64)
    if array.ndim != 1:
        raise ArgumentError("keys come in one dimension")
    keep.append(array)
    return _c.Keys(integers=array.ctypes.data or None, n=len(array))


def make_filter(text: Optional[str], params: Optional[Mapping[str, Any]],
                keep: list[Any]) -> _c.Filter:
    """A filter with its bound parameters."""
    out = _c.Filter()
    if text is not None:
        out.text = text.encode("utf-8", "surrogatepass")
        out.length = len(out.text)
    if params:
        array = (_c.Param * len(params))()
        for item, (name, value) in zip(array, params.items()):
            item.name = name.encode()
            fill_value(item.value, value, keep)
        keep.append(array)
        out.params, out.n_params = array, len(params)
    return out


def make_names(names: Optional[Sequence[str]]) -> tuple[Any, int]:
    """Names of fields: NULL for None, and a pointer even where there are none."""
    if names is None:
        return None, 0
    if isinstance(names, str):
        raise ArgumentError("fields are a list of names")
    array = (ctypes.c_char_p * max(len(names), 1))(*(name.encode() for name in names))
    return array, len(names)


def take_rows(rows: ctypes.c_void_p) -> list[dict[str, Any]]:
    """The rows as dicts; frees the library's."""
    lib = _c.lib
    try:
        names = [lib.vecdb_rows_field(rows, i).decode()
                 for i in range(lib.vecdb_rows_n_fields(rows))]
        return [{name: read_value(lib.vecdb_rows_value(rows, row, i))
                 for i, name in enumerate(names)}
                for row in range(lib.vecdb_rows_count(rows))]
    finally:
        lib.vecdb_rows_free(rows)
