"""Databases: opening, collections, backups."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Literal, Optional, Sequence, Union

from . import _c
from .calls import Control, Handle, Progress, call
from .collection import Collection
from .errors import ClosedError, CorruptError
from .schema import Field, make_schema

Path = Union[str, "os.PathLike[str]"]
_DURABILITY = {"commit": 0, "interval": 1, "off": 2}


class Database:
    """An open database: a folder, or ":memory:". A context manager, closed at its end.

    It may be used from any thread, but is to be closed only when no other uses it."""

    def __init__(self, path: Path, *, read_only: bool = False, must_exist: bool = False,
                 durability: Literal["commit", "interval", "off"] = "commit", threads: int = 0,
                 memory_limit: int = 0, device: Optional[str] = None,
                 progress: Progress = False, **more: int) -> None:
        """Opens, or makes, a database. `device`: "auto", "gpu" or "gpu:N", as vecdb_options
        says. `more`: other numbers of vecdb_options, such as seal_rows or cache_bytes."""
        self._handle: Optional[ctypes.c_void_p] = None
        self.handles: "set[Handle]" = set()  # to be released before the database is closed
        with Control(progress) as control:
            options = _c.Options(flags=read_only | must_exist << 1, threads=threads,
                                 durability=_DURABILITY[durability], memory_limit=memory_limit,
                                 device=device.encode() if device is not None else None,
                                 control=ctypes.pointer(control._obj), **more)
            handle = ctypes.c_void_p()
            call(_c.lib.vecdb_open, os.fsencode(path), _c.Ref(options), _c.Ref(handle))
        self._handle = handle

    @property
    def handle(self) -> ctypes.c_void_p:
        if self._handle is None:
            raise ClosedError("the database is closed")
        return self._handle

    def close(self) -> None:
        """Closes the database, its collections and iterators. Closing twice does nothing."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        for user in list(self.handles):
            user.close()
        call(_c.lib.vecdb_close, handle)

    def memory(self) -> dict[str, int]:
        """Bytes by what they are for, and hits of the cache, as vecdb_memory names them."""
        memory = _c.Memory()
        call(_c.lib.vecdb_memory_stats, self.handle, _c.Ref(memory))
        return {name: getattr(memory, name) for name, *_ in memory._fields_[2:]}

    def device(self) -> dict[str, Union[int, str]]:
        """What the device holds and has done, as vecdb_device names it; empty without one."""
        device = _c.Device()
        call(_c.lib.vecdb_device_stats, self.handle, _c.Ref(device))
        if not device.present:
            return {}
        values = {name: getattr(device, name) for name, *_ in device._fields_[3:]}
        return {"name": device.name.decode(), **values}

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *what: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()

    def create(self, name: str, fields: Sequence[Field], description: str = "") -> Collection:
        """Creates a collection."""
        keep: list[Any] = []
        schema, handle = make_schema(fields, description, keep), ctypes.c_void_p()
        call(_c.lib.vecdb_collection_create, self.handle, name.encode(), _c.Ref(schema),
             _c.Ref(handle))
        return Collection(self, handle, name)

    def collection(self, name: str) -> Collection:
        """The collection of that name; NotFoundError when there is none."""
        handle = ctypes.c_void_p()
        call(_c.lib.vecdb_collection_get, self.handle, name.encode(), _c.Ref(handle))
        return Collection(self, handle, name)

    __getitem__ = collection

    def __contains__(self, name: str) -> bool:
        return name in self.list()

    def drop(self, name: str) -> None:
        """Drops a collection and its rows."""
        call(_c.lib.vecdb_collection_drop, self.handle, name.encode())

    def list(self) -> "list[str]":
        """The names of the collections, in order."""
        names: "list[str]" = []

        def visit(user: Any, name: bytes) -> int:
            names.append(name.decode())
            return 0

        call(_c.lib.vecdb_collection_list, self.handle, _c.VISIT_NAME(visit), None)
        return names

    def flush(self, *, progress: Progress = False) -> None:
        """Seals the rows in memory of all collections, and trims the log."""
        with Control(progress) as control:
            call(_c.lib.vecdb_flush_all, self.handle, control)

    def backup(self, path: Path, *, progress: Progress = False) -> None:
        """Copies the database as of this moment to a new folder, a database of its own."""
        with Control(progress) as control:
            call(_c.lib.vecdb_backup, self.handle, os.fsencode(path), control)

    def check(self, *, progress: Progress = False) -> "list[str]":
        """Reads every byte; a line for each fault."""
        faults: "list[str]" = []

        def report(user: Any, line: bytes) -> None:
            faults.append(line.decode("utf-8", "replace"))

        with Control(progress) as control:
            try:
                call(_c.lib.vecdb_check, self.handle, _c.REPORT(report), None, control)
            except CorruptError:
                if not faults:
                    raise
        return faults


def restore(backup: Path, path: Path) -> None:
    """Checks a backup and copies it to a new folder."""
    call(_c.lib.vecdb_restore, os.fsencode(backup), os.fsencode(path), None)
