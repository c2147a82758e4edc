"""Databases: opening, collections, backups."""

from __future__ import annotations

import ctypes
import os
from contextlib import nullcontext
from typing import Any, List, Literal, Optional, Sequence, Union

from . import _c
from .calls import Control, Handle, Progress, call
from .collection import Collection
from .encryption import GetKey, encryption
from .errors import ArgumentError, ClosedError, CorruptError
from .schema import Field, make_schema

Path = Union[str, "os.PathLike[str]"]
Names = List[str]  # Database has a method `list`, which hides the type in its other methods
_DURABILITY = {"commit": 0, "interval": 1, "off": 2}
_VERIFY = {"meta": 0, "full": 1}
_MUST_EXIST, _FOLLOW, _NEW_DATA_KEY = 1 << 1, 1 << 3, 1


def _choice(of: "dict[str, int]", word: str) -> int:
    if word not in of:
        raise ArgumentError(f"{word!r} is none of {', '.join(of)}")
    return of[word]


class Database:
    """An open database: a folder, or ":memory:". A context manager, closed at its end.

    It may be used from any thread, but is to be closed only when no other uses it."""

    def __init__(self, path: Path, *, read_only: bool = False, must_exist: bool = False,
                 follow: bool = False, key: Optional[GetKey] = None, key_id: str = "main",
                 durability: Literal["commit", "interval", "off"] = "commit", threads: int = 0,
                 memory_limit: int = 0, cache_bytes: int = 0, vector_cache_bytes: int = 0,
                 device: Optional[str] = None, device_memory: int = 0, interval_ms: int = 0,
                 verify: Literal["meta", "full"] = "meta", seal_rows: int = 0, seal_bytes: int = 0,
                 index_rows: int = 0, recall_every: int = 0, wal_bytes: int = 0, seed: int = 0,
                 progress: Progress = False) -> None:
        """Opens, or makes, a database.

        read_only: beside a writer in another process, over a copied folder, or over one file of a
        segment; follow: a reader that sees what the writer writes later. key: 32 bytes, or a
        function that gives them for a name, of an encrypted database; key_id: the name, for a new
        one. durability: what a write waits for. memory_limit: bytes that it may allocate;
        cache_bytes, vector_cache_bytes: of these for results, and for blocks of DISK indexes.
        device: "auto", "gpu" or "gpu:N". The rest is as in vecdb_options; 0: the default."""
        self._handle: Optional[ctypes.c_void_p] = None
        self._path = os.fspath(path)
        small = {"threads": threads, "interval_ms": interval_ms, "seal_rows": seal_rows,
                 "index_rows": index_rows, "recall_every": recall_every}
        large = {"memory_limit": memory_limit, "cache_bytes": cache_bytes, "seed": seed,
                 "vector_cache_bytes": vector_cache_bytes, "device_memory": device_memory,
                 "seal_bytes": seal_bytes, "wal_bytes": wal_bytes}
        for numbers, bits in ((small, 32), (large, 64)):
            for name, number in numbers.items():
                if not 0 <= number < 2**bits:
                    raise ArgumentError(f"{name} is a number of {bits} bits, not {number}")
        self.handles: "set[Handle]" = set()  # to be released before the database is closed
        self._encryption = encryption(key, key_id)
        flags = (read_only or follow) | must_exist * _MUST_EXIST | follow * _FOLLOW
        with Control(progress) as control, self._encryption or nullcontext():
            options = _c.Options(flags=flags, durability=_choice(_DURABILITY, durability),
                                 verify=_choice(_VERIFY, verify),
                                 device=device.encode() if device is not None else None,
                                 control=ctypes.pointer(control._obj), **small, **large)
            if self._encryption:
                options.encryption = ctypes.pointer(self._encryption.raw)
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
        for user in tuple(self.handles):
            user.close()
        call(_c.lib.vecdb_close, handle)

    def refresh(self, max_age: float = 0) -> dict[str, int]:
        """Brings a reader up to the state of the files, unless that was done less than max_age
        seconds ago (infinity: never). What is known of the state, as vecdb_refresh_info names
        it."""
        if not max_age >= 0:
            raise ArgumentError("max_age is not negative")
        info = _c.RefreshInfo()
        call(_c.lib.vecdb_refresh, self.handle, int(min(max_age * 1000, 2**32 - 1)),
             _c.Ref(info))
        return {name: getattr(info, name) for name, *_ in info._fields_[1:]}

    def rekey(self, key_id: Optional[str] = None, *, new_data_key: bool = False) -> None:
        """Wraps the data keys anew by the key of that name (None: of the name there is), for
        which the function that was given as `key` is asked. new_data_key: what is written from now
        on gets a new data key."""
        with self._encryption or nullcontext():
            call(_c.lib.vecdb_rekey, self.handle, key_id.encode() if key_id is not None else None,
                 new_data_key * _NEW_DATA_KEY)

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

    def __repr__(self) -> str:
        return f"<vecdb.Database {self._path!r}{'' if self._handle else ', closed'}>"

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

    def list(self) -> Names:
        """The names of the collections, in order."""
        names: Names = []

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

    def check(self, *, progress: Progress = False) -> Names:
        """Reads every byte; a line for each fault."""
        faults: Names = []

        def report(user: Any, line: bytes) -> None:
            faults.append(line.decode("utf-8", "replace"))

        with Control(progress) as control:
            try:
                call(_c.lib.vecdb_check, self.handle, _c.REPORT(report), None, control)
            except CorruptError:
                if not faults:
                    raise
        return faults


def restore(backup: Path, path: Path, *, key: Optional[GetKey] = None) -> None:
    """Checks a backup and copies it to a new folder. key: as for opening."""
    options, keys = _c.Options(), encryption(key, "main")
    if keys:
        options.encryption = ctypes.pointer(keys.raw)
    with keys or nullcontext():
        call(_c.lib.vecdb_restore, os.fsencode(backup), os.fsencode(path), _c.Ref(options))
