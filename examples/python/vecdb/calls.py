"""What the calls share: raising errors, and listening to long calls."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Optional, Union

from . import _c
from .errors import BufferTooSmallError, ClosedError, raise_error

Progress = Union[bool, Callable[[str, int, int], Any]]


def call(function: Any, *arguments: Any) -> None:
    """Calls the library with an error struct as last argument; raises what it says."""
    error = _c.Error()
    if function(*arguments, _c.Ref(error)):
        raise_error(error)


class Handle:
    """A handle of the library, released once: by close(), or when its database is closed.

    A database keeps these, not the objects that have them: the collector of garbage may finalise
    a database before its collections, and clears weak references first."""

    def __init__(self, pointer: ctypes.c_void_p, release: Any, owner: "set[Handle]") -> None:
        self.pointer: Optional[ctypes.c_void_p] = pointer
        self._release, self._owner = release, owner
        owner.add(self)

    def get(self) -> ctypes.c_void_p:
        """The pointer, while there is one."""
        if self.pointer is None:
            raise ClosedError("used after it was closed")
        return self.pointer

    def close(self) -> None:
        """Releases the handle. Doing so twice does nothing."""
        pointer, self.pointer = self.pointer, None
        self._owner.discard(self)
        if pointer is not None:
            self._release(pointer)


class _Bar:
    """A tqdm bar for the phases of a call."""

    def __init__(self) -> None:
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
        self.make: Any = tqdm
        self.bar: Any = None
        self.phase = ""

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self.bar is None or phase != self.phase:
            self.close()
            self.bar, self.phase = self.make(total=total, desc=phase, unit_scale=True), phase
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


class Control:
    """A vecdb_control, as a context: what a progress function raises comes out of the context.

    progress: True for a tqdm bar, or a function of phase, done and total; when it returns True
    the call is cancelled."""

    def __init__(self, progress: Progress = False, timeout: Optional[float] = None) -> None:
        self.problem: Optional[BaseException] = None
        self.bar = _Bar() if progress is True else None
        self.tell: Any = self.bar or progress
        self.raw = _c.Control()
        if timeout is not None:
            self.raw.timeout_ms = min(max(int(timeout * 1000), 1), 2**32 - 1)
        if self.tell:
            self.raw.progress = _c.PROGRESS(self._progress)

    def _progress(self, user: Any, phase: bytes, done: int, total: int) -> int:
        try:
            return int(self.tell(phase.decode(), done, total) is True)
        except BaseException as problem:  # it cannot pass through C: kept for __exit__
            self.problem = problem
            return 1

    def __enter__(self) -> Any:
        return _c.Ref(self.raw)

    def __exit__(self, *what: Any) -> None:
        if self.bar:
            self.bar.close()
        if self.problem is not None:
            raise self.problem


def text_of(function: Any, *arguments: Any) -> str:
    """A text of unknown length, from a function that says how long it is."""
    length, capacity = ctypes.c_size_t(), 4096
    while True:
        text = ctypes.create_string_buffer(capacity)
        try:
            call(function, *arguments, text, capacity, _c.Ref(length))
            return text.value.decode("utf-8", "replace")
        except BufferTooSmallError:
            capacity = length.value + 1
