"""Databases: opening, closing, long calls and backups."""

from __future__ import annotations

import gc

import pytest

import vecdb
from vecdb import errors


def test_rows_are_there_after_opening_again(tmp_path, db, docs, vectors):
    walk = docs.iterate(vectors[0])
    next(walk)
    with pytest.raises(errors.BusyError):
        vecdb.open(tmp_path / "db")
    db.close()
    with vecdb.open(tmp_path / "db", must_exist=True) as again:
        assert again.list() == ["docs"] and "docs" in again and len(again["docs"]) == 500
        assert again["docs"].search(vectors[42], 1).ids.tolist() == [42]
    with vecdb.open(tmp_path / "db", read_only=True) as reader:
        with pytest.raises(errors.ReadOnlyError):
            reader["docs"].delete([1])


def test_one_file_of_a_segment(tmp_path, db, docs, vectors):
    docs.compact()
    (file,) = (tmp_path / "db").glob("*.rows")
    (tmp_path / "alone").write_bytes(file.read_bytes())
    with vecdb.open(tmp_path / "alone", read_only=True) as alone:
        assert alone.list() == ["docs"] and len(alone["docs"]) == 500 and alone.check() == []
        assert alone["docs"].search(vectors[42], 1).ids.tolist() == [42]
    with pytest.raises(errors.NotADatabaseError):
        vecdb.open(tmp_path / "alone")


def test_open_fails_with_a_reason(tmp_path):
    with pytest.raises(errors.NotFoundError):
        vecdb.open(tmp_path / "none", must_exist=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("dear")
    with pytest.raises(errors.NotADatabaseError):
        vecdb.open(tmp_path / "full")


def test_options_are_checked(tmp_path):
    """A name that is no option, a word that none knows, a number that does not fit: nothing is
    opened with less than was asked for."""
    with pytest.raises(TypeError):
        vecdb.open(tmp_path / "db", cach_bytes=1 << 20)
    for wrong in ({"durability": "sometimes"}, {"verify": "half"}, {"memory_limit": -1},
                  {"threads": 2**32}, {"cache_bytes": 2**64}):
        with pytest.raises(errors.ArgumentError):
            vecdb.open(tmp_path / "db", **wrong)
    assert not (tmp_path / "db").exists()
    with vecdb.open(tmp_path / "db", cache_bytes=1 << 20, verify="full", seal_rows=100) as db:
        assert repr(db).endswith("db'>")
        with pytest.raises(errors.SchemaError):
            db.create("a", [{"name": "id"}])
    assert repr(db).endswith("closed>")


def test_backup_and_restore(tmp_path, db, docs, vectors):
    db.backup(tmp_path / "copy")
    docs.delete(filter="true")
    with pytest.raises(errors.ExistsError):
        db.backup(tmp_path / "copy")
    vecdb.restore(tmp_path / "copy", tmp_path / "restored")
    with vecdb.open(tmp_path / "restored") as restored:
        assert len(restored["docs"]) == 500 and restored.check() == []


def test_progress(docs):
    seen = []
    docs.flush()
    docs.create_index("HNSW", progress=lambda *step: seen.append(step))
    assert seen and seen[-1][0] == "build" and all(done <= total for _, done, total in seen)
    docs.create_index("HNSW(m=24)", progress=True)


def test_progress_can_cancel_or_raise(docs):
    docs.flush()
    with pytest.raises(errors.CancelledError):
        docs.create_index("HNSW", progress=lambda *step: True)

    def fail(*step):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        docs.create_index("HNSW(m=32)", progress=fail)


def test_maintenance(docs):
    docs.flush()
    docs.delete(filter="group == 1")
    assert docs.stats()["rows_deleted"] == 100
    docs.compact()
    docs.wait(timeout=60)
    docs.warm()
    assert docs.stats()["rows_deleted"] == 0 and docs.stats()["rows"] == 400


def test_memory(vectors):
    with vecdb.open(":memory:") as db:
        assert db.list() == [] and vecdb.kernels() and vecdb.__version__


def test_what_is_left_behind_is_released_in_any_order(tmp_path, db, docs, vectors):
    """Garbage in a cycle is finalised in an order of the collector's; the lock must be free."""
    for _ in range(3):
        again = vecdb.open(tmp_path / "again")
        again.own = again  # a cycle
        again.users = [again.create("a", list(docs.fields.values())), again["a"]]
        again.users.append(again["a"].iterate(vectors[0]))
        del again
        gc.collect()
        with vecdb.open(tmp_path / "again") as once_more:
            once_more.drop("a")
