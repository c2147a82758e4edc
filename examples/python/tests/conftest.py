"""A database in a fresh folder, and a collection with rows, for the tests."""

from __future__ import annotations

from typing import Iterator

import numpy as np
import pytest

import vecdb
from vecdb import Field, Metric, Type

DIM, ROWS = 16, 500


@pytest.fixture()
def db(tmp_path) -> Iterator[vecdb.Database]:
    with vecdb.open(tmp_path / "db", durability="off") as database:
        yield database


@pytest.fixture()
def vectors() -> np.ndarray:
    return np.random.default_rng(7).standard_normal((ROWS, DIM)).astype(np.float32)


@pytest.fixture()
def docs(db, vectors) -> vecdb.Collection:
    """ROWS rows: keys 0, 1, ..., `group` key % 5, `title` "t<key>", null for each tenth."""
    collection = db.create("docs", [
        Field("id", Type.INT64, primary_key=True),
        Field("group", Type.INT32),
        Field("title", Type.VARCHAR, max_length=40, nullable=True),
        Field("embedding", Type.FLOAT_VECTOR, dim=DIM, metric=Metric.L2)])
    collection.insert({
        "id": np.arange(ROWS), "group": np.arange(ROWS, dtype=np.int32) % 5,
        "title": [None if i % 10 == 0 else f"t{i}" for i in range(ROWS)],
        "embedding": vectors})
    return collection
