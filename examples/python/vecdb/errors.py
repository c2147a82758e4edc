"""One exception class for each error code of vecdb.h."""

from __future__ import annotations

from typing import ClassVar, Optional

from . import _c

__all__ = [
    "VecdbError", "ArgumentError", "OptionError", "LimitError", "InvalidNameError",
    "SchemaError", "NotFoundError", "ExistsError", "UnknownFieldError", "MissingFieldError",
    "TypeMismatchError", "DimensionError", "NotFiniteError", "ZeroVectorError",
    "VectorOverflowError", "NullValueError", "TooLongError", "Utf8Error", "FilterError",
    "FilterParamError", "KError", "IndexParamError", "ReadOnlyError", "RangeError",
    "SparseError", "JsonError", "BusyError", "ClosedError", "CancelledError", "DeadlineError",
    "BufferTooSmallError", "UnsupportedError", "VersionError", "NoMemoryError", "StorageError",
    "DiskFullError", "CorruptError", "NewerFormatError", "NotADatabaseError",
    "EncryptionKeyError", "InternalError"]

_classes: dict[int, type["VecdbError"]] = {}


class VecdbError(Exception):
    """What vecdb raises. `row` is the row of the batch or the query of the request, `position` the
    byte in the filter or file, `field` the name of the field; each is None where there is none."""

    code: ClassVar[int] = 0

    def __init__(self, message: str, *, os_code: int = 0, row: Optional[int] = None,
                 position: Optional[int] = None, field: Optional[str] = None) -> None:
        super().__init__(message)
        self.os_code = os_code
        self.row = row
        self.position = position
        self.field = field

    def __init_subclass__(cls, code: int = 0) -> None:
        if code:  # not a caller's own subclass
            cls.code = code
            _classes[code] = cls


class ArgumentError(VecdbError, code=1):
    """Contradictory or missing arguments."""


class OptionError(VecdbError, code=2):
    """An unknown flag or choice."""


class LimitError(VecdbError, code=3):
    """Over a limit of the library or of the schema's shape."""


class InvalidNameError(VecdbError, code=4):
    """A name that is empty, too long or has forbidden characters."""


class SchemaError(VecdbError, code=5):
    """A schema that makes no sense."""


class NotFoundError(VecdbError, code=6):
    """No such collection, index or backup."""


class ExistsError(VecdbError, code=7):
    """Already there: a collection, a database, or the key of an inserted row."""


class UnknownFieldError(VecdbError, code=8):
    """No such field."""


class MissingFieldError(VecdbError, code=9):
    """A batch lacks a field without default."""


class TypeMismatchError(VecdbError, code=10):
    """A value or operand of the wrong type."""


class DimensionError(VecdbError, code=11):
    """A vector of the wrong dimension."""


class NotFiniteError(VecdbError, code=12):
    """NaN or infinity."""


class ZeroVectorError(VecdbError, code=13):
    """A zero vector under COSINE."""


class VectorOverflowError(VecdbError, code=14):
    """A vector whose norm is not finite."""


class NullValueError(VecdbError, code=15):
    """None for a field that is not nullable."""


class TooLongError(VecdbError, code=16):
    """A text, array or sparse vector over its maximum."""


class Utf8Error(VecdbError, code=17):
    """Text that is not valid UTF-8."""


class FilterError(VecdbError, code=18):
    """A filter that does not parse; `position` says where."""


class FilterParamError(VecdbError, code=19):
    """A parameter of a filter missing, unknown or of the wrong type."""


class KError(VecdbError, code=20):
    """k of 0 or too large."""


class IndexParamError(VecdbError, code=21):
    """An index parameter out of range or without meaning."""


class ReadOnlyError(VecdbError, code=22):
    """A write on a database opened for reading."""


class RangeError(VecdbError, code=23):
    """A number that does not fit its field."""


class SparseError(VecdbError, code=24):
    """A sparse vector whose indices do not ascend."""


class JsonError(VecdbError, code=25):
    """A text for a JSON field that is no JSON."""


class BusyError(VecdbError, code=40):
    """The database is already open for writing."""


class ClosedError(VecdbError, code=41):
    """The collection was dropped, or the handle closed."""


class CancelledError(VecdbError, code=42):
    """Cancelled by a progress callback."""


class DeadlineError(VecdbError, code=43):
    """The deadline passed and there is nothing to give."""


class BufferTooSmallError(VecdbError, code=44):
    """A buffer of the caller is too small."""


class UnsupportedError(VecdbError, code=45):
    """Not in this build or not on this platform."""


class VersionError(VecdbError, code=46):
    """A push that expected another version of a row's vector."""


class NoMemoryError(VecdbError, code=60):
    """No memory, or over the database's limit of it."""


class StorageError(VecdbError, code=61):
    """An I/O error; `os_code` is errno."""


class DiskFullError(VecdbError, code=62):
    """The disk is full."""


class CorruptError(VecdbError, code=63):
    """A checksum or structure check failed."""


class NewerFormatError(VecdbError, code=64):
    """Written by a newer library."""


class NotADatabaseError(VecdbError, code=65):
    """The folder holds something else."""


class EncryptionKeyError(VecdbError, code=66):
    """The database is encrypted: this package cannot open it."""


class InternalError(VecdbError, code=99):
    """A bug in vecdb."""


def raise_error(error: _c.Error) -> None:
    """Raises what the library filled in."""
    raise _classes.get(error.code, InternalError)(
        error.message.decode("utf-8", "replace"), os_code=error.os_code,
        row=error.row if error.row >= 0 else None,
        position=error.position if error.position >= 0 else None,
        field=error.field.decode("utf-8", "replace") or None)
