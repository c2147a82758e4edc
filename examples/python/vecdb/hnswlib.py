"""The interface of hnswlib over vecdb: `from vecdb import hnswlib`, and the rest stays.

What differs: an index is saved as a folder; knn_query gives k rows if there are k, and takes its
effort from a recall of 0.95 until set_ef is called; labels are below 2**63; nothing is pickled.
Rows are scanned exactly until there are enough of them for a graph (65,536).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Callable, Optional, Sequence

import numpy as np

from .database import Database, restore
from .errors import DimensionError, NotFoundError
from .schema import Field, Metric, Type, parse_index

_METRICS = {"l2": Metric.L2, "ip": Metric.IP, "cosine": Metric.COSINE}
_NAME = "items"
_CHUNK_BYTES = 1 << 28


class Index:
    """An index of hnswlib's: space is "l2", "ip" or "cosine"."""

    def __init__(self, space: str, dim: int) -> None:
        if space not in _METRICS:
            raise RuntimeError("Space name must be one of l2, ip, or cosine.")
        self.space, self.dim = space, int(dim)
        self.num_threads = os.cpu_count() or 1
        self.max_elements = 0
        self._ef: Optional[int] = None
        self._deleted: set[int] = set()
        self._folder: Optional[tempfile.TemporaryDirectory] = None
        self._database: Optional[Database] = None

    # Making, saving, loading

    def init_index(self, max_elements: int, M: int = 16, ef_construction: int = 200,
                   random_seed: int = 100, allow_replace_deleted: bool = False) -> None:
        """Makes the index, in memory."""
        if self._database is not None:
            raise RuntimeError("The index is already initiated.")
        self.max_elements, self._replace = int(max_elements), allow_replace_deleted
        database = Database(":memory:", seed=random_seed)
        index = f"HNSW(m={M}, ef_construction={ef_construction})"
        self._items = database.create(_NAME, [
            Field("id", Type.INT64, primary_key=True), Field("deleted", Type.BOOL),
            Field("vector", Type.FLOAT_VECTOR, dim=self.dim, metric=_METRICS[self.space],
                  allow_zero=self.space == "cosine", index=index)], description=str(max_elements))
        self._database = database

    def save_index(self, path_to_index: str) -> None:
        """Saves the index as a folder, in place of an index that is there."""
        path = os.fspath(path_to_index)
        fresh = f"{path}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._open().backup(fresh)
        if os.path.isdir(path):
            Database(path, must_exist=True, read_only=True).close()  # raises if it is another's
            shutil.rmtree(path)
        os.rename(fresh, path)

    def load_index(self, path_to_index: str, max_elements: int = 0,
                   allow_replace_deleted: bool = False) -> None:
        """Loads a saved index; what is added later is not written to it."""
        folder = tempfile.TemporaryDirectory(prefix="vecdb-")
        path = os.path.join(folder.name, "db")
        restore(path_to_index, path)
        database = Database(path, durability="off")
        try:
            items = database.collection(_NAME)
        except NotFoundError:
            database.close()
            raise
        field = items.fields["vector"]
        if (field.dim, field.metric) != (self.dim, _METRICS[self.space]):
            database.close()
            raise DimensionError(f"saved with {field.metric.name} and {field.dim} dimensions")
        self.close()
        self._folder, self._database, self._items = folder, database, items
        self._deleted = {row["id"] for row in items.scan("deleted", fields=[])}
        self.max_elements = max(int(max_elements) or int(items.description), len(items))
        self._replace = allow_replace_deleted

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

    def add_items(self, data: np.ndarray, ids: Optional[Sequence[int]] = None,
                  num_threads: int = -1, replace_deleted: bool = False) -> None:
        """Adds rows, or replaces those whose labels are there."""
        self._open()
        if replace_deleted and not self._replace:
            raise RuntimeError("Replacement of deleted elements is disabled in constructor")
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

    # Reads

    def knn_query(self, data: np.ndarray, k: int = 1, num_threads: int = -1,
                  filter: Optional[Callable[[int], bool]] = None
                  ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and distances of the k nearest, a row per query. filter is asked about each label,
        before the search."""
        self._open()
        queries = self._rows(data)
        where, params = ("not deleted", {}) if self._deleted else (None, {})
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

    def get_items(self, ids: Optional[Sequence[int]] = None, return_type: str = "numpy"):
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

    def _labels(self) -> list[int]:
        return [row["id"] for row in self._items.scan(fields=[])]

    def get_current_count(self) -> int:
        """How many rows there are, deleted ones too."""
        return len(self._items) if self._database is not None else 0

    def get_max_elements(self) -> int:
        return self.max_elements

    def index_file_size(self) -> int:
        """Bytes of files and of rows that are not in a file yet."""
        stats = self._items.stats() if self._open() else {}
        return stats["bytes_files"] + stats["bytes_memory"]

    def _rows(self, data: np.ndarray) -> np.ndarray:
        rows = np.asarray(data, np.float32)
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise RuntimeError("Wrong dimensionality of the vectors")
        return rows

    # Settings

    def set_ef(self, ef: int) -> None:
        """The width of searches."""
        self._ef = int(ef)

    def set_num_threads(self, num_threads: int) -> None:
        self.num_threads = int(num_threads)

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
        return parse_index(self._items.fields["vector"].index).m if self._open() else 0

    @property
    def ef_construction(self) -> int:
        index = self._items.fields["vector"].index if self._open() else ""
        return parse_index(index).ef_construction

    def __repr__(self) -> str:
        return f"<vecdb.hnswlib.Index(space={self.space!r}, dim={self.dim})>"
