"""The interface of hnswlib over vecdb: `from vecdb import hnswlib`, and the rest stays.

What differs: knn_query gives k rows if there are k, and takes its effort from a recall of 0.95
until set_ef is called; labels are below 2**63; files are vecdb's own: a tar archive of a database.
Rows are scanned exactly until there are enough of them for a graph (65,536).
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from typing import Any, BinaryIO, Callable, Optional, Sequence, Union

import numpy as np

from .database import Database
from .errors import DimensionError, VecdbError
from .schema import Field, Metric, Type, parse_index

_METRICS = {"l2": Metric.L2, "ip": Metric.IP, "cosine": Metric.COSINE}
_NAME = "items"
_CHUNK_BYTES = 1 << 28


def pack(folder: str, out: BinaryIO) -> None:
    """Writes the files of a database as one."""
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in sorted(os.listdir(folder)):
            archive.add(os.path.join(folder, name), name, recursive=False)


def unpack(archive: BinaryIO, folder: str) -> None:
    """The opposite: the plain files of the archive, none outside the folder."""
    with tarfile.open(fileobj=archive, mode="r:") as members:
        for member in members:
            source = members.extractfile(member) if member.isfile() else None
            if source is None or member.name != os.path.basename(member.name):
                raise tarfile.ReadError("no archive of a database")
            with open(os.path.join(folder, member.name), "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)


class _Items:
    """What both kinds of index share: a collection of labels and vectors."""

    def __init__(self, space: str, dim: int) -> None:
        if space not in _METRICS:
            raise RuntimeError("Space name must be one of l2, ip, or cosine.")
        self.space, self.dim = space, int(dim)
        self.num_threads = os.cpu_count() or 1
        self.max_elements = 0
        self._replace = False
        self._ef: Optional[int] = None
        self._deleted: set[int] = set()
        self._folder: Any = None
        self._database: Optional[Database] = None

    # Making, saving, loading

    def _make(self, max_elements: int, index: str, seed: int) -> None:
        if self._database is not None:
            raise RuntimeError("The index is already initiated.")
        self.max_elements = int(max_elements)
        database = Database(":memory:", seed=seed)
        self._items = database.create(_NAME, [
            Field("id", Type.INT64, primary_key=True), Field("deleted", Type.BOOL),
            Field("vector", Type.FLOAT_VECTOR, dim=self.dim, metric=_METRICS[self.space],
                  allow_zero=self.space == "cosine", index=index)], description=str(max_elements))
        self._database = database

    def _save(self, out: BinaryIO) -> None:
        with tempfile.TemporaryDirectory(prefix="vecdb-") as folder:
            copy = os.path.join(folder, "db")
            self._open().backup(copy)
            pack(copy, out)

    def save_index(self, path_to_index: Union[str, "os.PathLike[str]"]) -> None:
        """Saves the index as one file, in place of a file that is there."""
        path = os.fspath(path_to_index)
        self._open()
        if os.path.isdir(path):
            raise RuntimeError(f"Cannot open file: {path} is a folder")
        with open(f"{path}.new", "wb") as out:
            self._save(out)
        os.replace(f"{path}.new", path)

    def _load(self, archive: BinaryIO) -> None:
        folder = tempfile.TemporaryDirectory(prefix="vecdb-")
        try:
            unpack(archive, folder.name)
            database = Database(folder.name, durability="off", must_exist=True,
                                verify="full")
        except (tarfile.TarError, VecdbError) as problem:
            raise RuntimeError("Index seems to be corrupted or unsupported") from problem
        if _NAME not in database:
            database.close()
            raise RuntimeError("Index seems to be corrupted or unsupported")
        items = database.collection(_NAME)
        field = items.fields["vector"]
        if (field.dim, field.metric) != (self.dim, _METRICS[self.space]):
            database.close()
            raise DimensionError(f"saved with {field.metric.name} and {field.dim} dimensions")
        self.close()
        self._folder, self._database, self._items = folder, database, items
        self._deleted = {row["id"] for row in items.scan("deleted", fields=[])}

    def _load_file(self, path: Union[str, "os.PathLike[str]"], max_elements: int) -> None:
        try:
            archive = open(path, "rb")
        except OSError as problem:
            raise RuntimeError("Cannot open file") from problem
        with archive:
            self._load(archive)
        self.max_elements = max(int(max_elements) or int(self._items.description),
                                len(self._items))

    def __getstate__(self) -> dict[str, Any]:
        data = None
        if self._database is not None:
            out = io.BytesIO()
            self._save(out)
            data = out.getvalue()
        names = ("space", "dim", "num_threads", "max_elements", "_replace", "_ef")
        return {**{name: getattr(self, name) for name in names}, "data": data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _Items.__init__(self, state["space"], state["dim"])
        data = state["data"]
        if data is not None:
            self._load(io.BytesIO(data))
        self.__dict__.update((name, value) for name, value in state.items() if name != "data")

    def close(self) -> None:
        """Gives memory and files back; hnswlib leaves that to the collector of garbage."""
        database, self._database = self._database, None
        if database is not None:
            database.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _open(self) -> Database:
        if self._database is None:
            raise RuntimeError("The index is not initiated.")
        return self._database

    # Writes

    def _add(self, data: Any, ids: Any, replace_deleted: bool = False) -> None:
        self._open()
        rows = self._rows(data)
        count = self.get_current_count()
        labels = np.arange(count, count + len(rows)) if ids is None else (
            np.atleast_1d(np.asarray(ids)).astype(np.int64))
        if labels.shape != (len(rows),):
            raise RuntimeError("Wrong dimensionality of the labels")
        self._make_room(labels, count, replace_deleted)
        chunk = max(min(_CHUNK_BYTES // (4 * self.dim), 1 << 20), 1)
        for start in range(0, len(rows), chunk):
            part = slice(start, start + chunk)
            self._items.upsert({"id": labels[part], "vector": rows[part],
                                "deleted": np.zeros(len(rows[part]), bool)})
        self._deleted.difference_update(labels.tolist())

    def _make_room(self, labels: np.ndarray, count: int, replace: bool) -> None:
        """Raises if the new labels are too many; with replace, deleted rows go for them."""
        if not replace and count + len(labels) <= self.max_elements:
            return
        there = {row["id"] for row in self._items.get(labels, [])}
        new = set(labels.tolist()) - there
        gone = list(self._deleted - set(labels.tolist()))[:len(new)] if replace else []
        if count + len(new) - len(gone) > self.max_elements:
            raise RuntimeError("The number of elements exceeds the specified limit")
        if gone:
            self._items.delete(gone)
            self._deleted.difference_update(gone)

    # Reads

    def knn_query(self, data: Any, k: int = 1, num_threads: int = -1,
                  filter: Optional[Callable[[int], bool]] = None
                  ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and distances of the k nearest, a row per query. filter is asked about each label,
        before the search."""
        self._open()
        queries = self._rows(data)
        where = "not deleted" if self._deleted else None
        params: dict[str, Any] = {}
        if filter is not None:
            allowed = [label for label in self._labels() if filter(label)]
            where, params = "id in {labels} and not deleted", {"labels": allowed}
        ef = max(self._ef, k) if self._ef else 0
        threads = num_threads if num_threads > 0 else self.num_threads
        hits = self._items.search(queries, k, filter=where, params=params, ef=ef,
                                  threads=min(threads, len(queries)))
        if (hits.counts < k).any():
            raise RuntimeError("Cannot return the results in a contiguous 2D array: there are "
                               "fewer than k elements")
        distances = hits.scores.copy() if self.space == "l2" else 1 - hits.scores
        return hits.ids.astype(np.uint64), distances

    def _labels(self) -> list[int]:
        return [row["id"] for row in self._items.scan(fields=[])]

    def get_current_count(self) -> int:
        """How many rows there are, deleted ones too."""
        return len(self._items) if self._database is not None else 0

    def get_max_elements(self) -> int:
        return self.max_elements

    def _rows(self, data: Any) -> np.ndarray:
        rows = np.asarray(data, np.float32)
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise RuntimeError("Wrong dimensionality of the vectors")
        return rows

    def set_num_threads(self, num_threads: int) -> None:
        """How many threads queries may use."""
        self.num_threads = int(num_threads)

    def __repr__(self) -> str:
        return f"<vecdb.hnswlib.{type(self).__name__}(space={self.space!r}, dim={self.dim})>"


class Index(_Items):
    """A graph of hnswlib's: space is "l2", "ip" or "cosine". Index(other) is a copy, and
    Index(params) what other.__getstate__() gave."""

    def __init__(self, space: Union[str, "Index", dict[str, Any], None] = None, dim: int = 0, *,
                 index: Optional["Index"] = None, params: Optional[dict[str, Any]] = None) -> None:
        other = index if index is not None else space
        state = params if params is not None else (
            other.__getstate__() if isinstance(other, Index) else other)
        if isinstance(state, dict):
            self.__setstate__(state)
        else:
            super().__init__(str(state), dim)

    def init_index(self, max_elements: int, M: int = 16, ef_construction: int = 200,
                   random_seed: int = 100, allow_replace_deleted: bool = False) -> None:
        """Makes the index, in memory."""
        self._make(max_elements, f"HNSW(m={M}, ef_construction={ef_construction})", random_seed)
        self._replace = allow_replace_deleted

    def load_index(self, path_to_index: Union[str, "os.PathLike[str]"], max_elements: int = 0,
                   allow_replace_deleted: bool = False) -> None:
        """Loads a saved index; what is added later is not written to it."""
        self._load_file(path_to_index, max_elements)
        self._replace = allow_replace_deleted

    def add_items(self, data: Any, ids: Any = None, num_threads: int = -1,
                  replace_deleted: bool = False) -> None:
        """Adds rows, or replaces those whose labels are there."""
        if replace_deleted and not self._replace:
            raise RuntimeError("Replacement of deleted elements is disabled in constructor")
        self._add(data, ids, replace_deleted)

    def mark_deleted(self, label: int) -> None:
        """Hides a row from queries."""
        self._mark(label, True)

    def unmark_deleted(self, label: int) -> None:
        """Shows a row again."""
        self._mark(label, False)

    def _mark(self, label: int, deleted: bool) -> None:
        self._open()
        rows = self._items.get(int(label), ["vector"])
        if not rows:
            raise RuntimeError("Label not found")
        if deleted == (label in self._deleted):
            raise RuntimeError("The requested to delete element is already deleted" if deleted
                               else "The requested to undelete element is not deleted")
        self._items.upsert([{**rows[0], "deleted": deleted}])
        (self._deleted.add if deleted else self._deleted.discard)(int(label))

    def resize_index(self, new_size: int) -> None:
        """Sets how many elements there may be."""
        if new_size < self.get_current_count():
            raise RuntimeError("Cannot resize, max element is less than the current number of "
                               "elements")
        self.max_elements = int(new_size)

    def get_items(self, ids: Optional[Sequence[int]] = None,
                  return_type: str = "numpy") -> Any:
        """The vectors of labels: an array, or with return_type "list" lists."""
        self._open()
        if return_type not in ("numpy", "list"):
            raise ValueError('return_type should be "numpy" or "list"')
        labels = [] if ids is None else [int(label) for label in ids]
        rows = self._items.get(labels, ["vector"]) if labels else []
        if len(rows) < len(labels) or self._deleted.intersection(labels):
            raise RuntimeError("Label not found")
        vectors = np.array([row["vector"] for row in rows], np.float32).reshape(-1, self.dim)
        if self.space == "cosine":
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-30
        return vectors if return_type == "numpy" else vectors.tolist()

    def get_ids_list(self) -> list[int]:
        """All labels, of deleted rows too."""
        return self._labels() if self._database is not None else []

    def index_file_size(self) -> int:
        """Bytes of files and of rows that are not in a file yet."""
        self._open()
        stats = self._items.stats()
        return int(stats["bytes_files"] + stats["bytes_memory"])

    # Settings

    def set_ef(self, ef: int) -> None:
        """The width of searches."""
        self._ef = int(ef)

    @property
    def ef(self) -> int:
        return self._ef or 10

    @ef.setter
    def ef(self, ef: int) -> None:
        self.set_ef(ef)

    @property
    def element_count(self) -> int:
        return self.get_current_count()

    @property
    def M(self) -> int:
        self._open()
        return int(parse_index(self._items.fields["vector"].index).m)

    @property
    def ef_construction(self) -> int:
        self._open()
        return int(parse_index(self._items.fields["vector"].index).ef_construction)


class BFIndex(_Items):
    """The exact index of hnswlib: queries compare every row."""

    def init_index(self, max_elements: int) -> None:
        """Makes the index, in memory."""
        self._make(max_elements, "FLAT", 1)

    def load_index(self, path_to_index: Union[str, "os.PathLike[str]"],
                   max_elements: int = 0) -> None:
        """Loads a saved index; what is added later is not written to it."""
        self._load_file(path_to_index, max_elements)

    def add_items(self, data: Any, ids: Any = None) -> None:
        """Adds rows, or replaces those whose labels are there."""
        self._add(data, ids)

    def delete_vector(self, label: int) -> None:
        """Deletes a row."""
        self._open()
        if not self._items.delete(int(label)):
            raise RuntimeError("Label not found")
