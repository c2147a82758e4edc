"""Vectors that learn: optimizers, pushes and pulls of a collection."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Optional, Sequence, Union

import numpy as np

from . import _c
from .calls import call
from .columns import vectors
from .errors import ArgumentError, NotFoundError, TypeMismatchError
from .schema import Field, Type
from .values import Key, address, make_keys

_INSERT = 1


class OptimizerKind(IntEnum):
    """How gradients change a vector."""

    AVERAGE = 0
    ADAGRAD = 1
    ADAM = 2


class Push(IntEnum):
    """What is pushed."""

    GRADIENT = 0
    DELTA = 1
    VALUE = 2


@dataclass
class Optimizer:
    """As vecdb_optimizer says; zero is each number's default."""

    kind: OptimizerKind = OptimizerKind.AVERAGE
    rate: float = 0
    window: int = 0
    beta1: float = 0
    beta2: float = 0
    epsilon: float = 0
    unit: bool = False


class Learner:
    """What a Collection can do with vectors that take pushes."""

    if TYPE_CHECKING:
        @property
        def handle(self) -> ctypes.c_void_p: ...

        def _field(self, name: Optional[str]) -> Field: ...

    def set_optimizer(self, optimizer: Optional[Optimizer], *,
                      field: Optional[str] = None) -> None:
        """Lets a FLOAT_VECTOR field take pushes; None: no longer."""
        raw = None
        if optimizer is not None:
            if not 0 <= optimizer.window < 2**32:
                raise ArgumentError("window is not negative")
            raw = _c.Optimizer(kind=optimizer.kind, rate=optimizer.rate, window=optimizer.window,
                               beta1=optimizer.beta1, beta2=optimizer.beta2,
                               epsilon=optimizer.epsilon, unit=optimizer.unit)
        call(_c.lib.vecdb_optimizer_set, self.handle, self._field(field).name.encode(),
             _c.Ref(raw) if raw is not None else None, None)

    def optimizer(self, *, field: Optional[str] = None) -> Optional[Optimizer]:
        """The optimizer of a field, with its defaults; None where it takes no pushes."""
        raw = _c.Optimizer()
        try:
            call(_c.lib.vecdb_optimizer_get, self.handle, self._field(field).name.encode(),
                 _c.Ref(raw))
        except NotFoundError:
            return None
        return Optimizer(OptimizerKind(raw.kind), raw.rate, raw.window, raw.beta1, raw.beta2,
                         raw.epsilon, bool(raw.unit))

    def push(self, keys: Union[Key, Sequence[Key], np.ndarray], values: Any,
             kind: Push = Push.GRADIENT, *, insert: bool = False, expected: Any = None,
             field: Optional[str] = None) -> np.ndarray:
        """Changes the vectors of rows by a vector per key, all or none, and gives the versions
        afterwards. insert: makes absent rows, from zeros. expected: the version that each row must
        have before, or it is VersionError."""
        keep: list[Any] = []
        of, wanted = self._field(field), make_keys(keys, keep)
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
        if of.type != Type.FLOAT_VECTOR:
            raise TypeMismatchError(f"{of.name} takes no pushes", field=of.name)
        rows, dim = vectors(array[None] if array.ndim == 1 else array, of)
        if len(rows) != wanted.n:
            raise ArgumentError(f"{len(rows)} vectors for {wanted.n} keys")
        raw = _c.PushParams(kind=kind, flags=_INSERT * insert, dim=dim, field=of.name.encode(),
                            keys=ctypes.pointer(wanted), values=address(rows) if wanted.n else None,
                            stride=rows.strides[0] if len(rows) > 1 else 0)
        if expected is not None:
            numbers = np.ascontiguousarray(expected, np.uint64)
            if numbers.shape != (wanted.n,):
                raise ArgumentError("expected has a version for each key")
            raw.expected = numbers.ctypes.data
        versions = np.zeros(wanted.n, np.uint64)
        call(_c.lib.vecdb_push, self.handle, _c.Ref(raw), versions.ctypes.data)
        return versions

    def pull(self, keys: Union[Key, Sequence[Key], np.ndarray], *,
             field: Optional[str] = None) -> tuple[np.ndarray, np.ndarray]:
        """The vectors of rows, a row per key, and their versions: 0 and zeros where there is no
        such row."""
        keep: list[Any] = []
        of, wanted = self._field(field), make_keys(keys, keep)
        if of.type != Type.FLOAT_VECTOR:
            raise TypeMismatchError(f"{of.name} takes no pushes", field=of.name)
        values, versions = np.zeros((wanted.n, of.dim), np.float32), np.zeros(wanted.n, np.uint64)
        call(_c.lib.vecdb_pull, self.handle, of.name.encode(), _c.Ref(wanted), values.ctypes.data,
             0, versions.ctypes.data)
        return values, versions
