"""The host's key of an encrypted database, handed to the library when it asks."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Optional, Union

from . import _c
from .errors import ArgumentError, EncryptionKeyError

KEY_BYTES = 32
GetKey = Union[bytes, Callable[[str], bytes]]


class Encryption:
    """A vecdb_encryption: the key's name, and the key or a function that gives it for a name.

    It lives as long as the database, as the library asks again when a key is changed. Where the
    function raises, the call fails with EncryptionKeyError, caused by what was raised."""

    def __init__(self, key: GetKey, key_id: str) -> None:
        if isinstance(key, (bytes, bytearray)) and len(key) != KEY_BYTES:
            raise ArgumentError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self.problem: Optional[Exception] = None
        self.raw = _c.Encryption(key_id=key_id.encode(), get_key=_c.GET_KEY(self._get))

    def _get(self, user: Any, name: bytes, out: int) -> int:
        try:
            key = self._key(name.decode()) if callable(self._key) else self._key
            if len(key) != KEY_BYTES:
                raise ArgumentError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
            ctypes.memmove(out, bytes(key), KEY_BYTES)
            return 0
        except Exception as problem:  # it cannot pass through C: told by __exit__
            self.problem = problem
            return 1

    def __enter__(self) -> "Encryption":
        self.problem = None
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, EncryptionKeyError) and self.problem is not None:
            raise error from self.problem


def encryption(key: Optional[GetKey], key_id: str) -> Optional[Encryption]:
    """That of a key; None without one."""
    return Encryption(key, key_id) if key is not None else None
