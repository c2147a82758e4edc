"""The same script with hnswlib and with vecdb.hnswlib: what each line gives is compared."""

from __future__ import annotations

import copy
import os
import pickle
import tarfile

import numpy as np
import pytest

import vecdb
import vecdb.hnswlib

theirs = pytest.importorskip("hnswlib")
N, DIM, K = 400, 12, 8


def said(action):
    """What an action gives, or that it raises."""
    try:
        return action()
    except RuntimeError:
        return "RuntimeError"


def script(library, space: str, folder) -> list:
    """Everything that a user of hnswlib does; a list of what came out."""
    rng = np.random.default_rng(11)
    data = rng.standard_normal((N, DIM)).astype(np.float32)
    queries = rng.standard_normal((20, DIM)).astype(np.float32)
    out = []
    index = library.Index(space=space, dim=DIM)
    index.init_index(max_elements=N, M=24, ef_construction=200, random_seed=5,
                     allow_replace_deleted=True)
    index.set_ef(N)
    index.add_items(data[:200])
    index.add_items(data[200:300], np.arange(1000, 1100), num_threads=1)
    index.add_items(data[300], 5000)
    out += [index.element_count, index.get_current_count(), index.get_max_elements(),
            index.max_elements, index.M, index.ef_construction, index.ef, index.space, index.dim]
    out += index.knn_query(queries, k=K)
    out += index.knn_query(queries[0], k=1, num_threads=1)
    out += index.knn_query(queries, k=3, filter=lambda label: label % 2 == 0)
    out += [sorted(index.get_ids_list()), np.array(index.get_items([3, 1000, 5000])),
            np.array(index.get_items([7], return_type="list"))]
    index.mark_deleted(3)
    index.mark_deleted(1007)
    out += index.knn_query(data[3], k=2)
    out += [said(lambda: index.mark_deleted(3)), said(lambda: index.mark_deleted(99999)),
            said(lambda: index.get_items([3])), said(lambda: index.get_items([99999])),
            index.element_count]
    index.unmark_deleted(3)
    out += index.knn_query(data[3], k=2)
    out += [said(lambda: index.unmark_deleted(3))]
    index.add_items(data[301:302], [8000], replace_deleted=True)
    out += [index.element_count, sorted(index.get_ids_list())]
    index.add_items(data[302:303], [0])  # an update
    out += [index.element_count, *index.knn_query(data[302], k=1)]
    out += [said(lambda: index.knn_query(queries, k=N)),
            said(lambda: index.add_items(data[:2], [1])),
            said(lambda: index.init_index(max_elements=3)),
            said(lambda: index.resize_index(10)), said(lambda: library.Index("l3", 4))]
    index.resize_index(2 * N)
    out += [index.max_elements]
    index.mark_deleted(11)
    for _ in range(2):
        index.save_index(str(folder / "saved"))
    again = library.Index(space=space, dim=DIM)
    again.load_index(str(folder / "saved"), max_elements=3 * N)
    again.set_ef(N)
    out += [again.element_count, again.max_elements, again.M, *again.knn_query(queries, k=K)]
    again.add_items(data[303:310], np.arange(600, 607))
    again.unmark_deleted(11)
    out += [again.element_count, *again.knn_query(data[303:310], k=1), index.element_count]
    os.remove(folder / "saved")
    out += [said(lambda: library.Index(space, DIM).load_index(str(folder / "saved")))]
    return out + copies(library, space, data)


def copies(library, space: str, data: np.ndarray) -> list:
    """Copies of an index, of one without deleted rows: pickling others ends hnswlib's process."""
    index, out = library.Index(space, DIM), []
    index.init_index(N)
    index.set_ef(N)
    index.add_items(data[:100])
    for other in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index), library.Index(index)):
        out += [other.element_count, other.ef, other.space, other.dim, other.max_elements,
                *other.knn_query(data[200:220], k=3)]
        other.add_items(data[100:101], [999])
        out += [other.element_count, *other.knn_query(data[100], k=1), index.element_count]
    return out


def exact_script(library, space: str, folder) -> list:
    """The same for the exact index; with rows of length 1, as hnswlib's does not scale them."""
    rng = np.random.default_rng(12)
    data = rng.standard_normal((N, DIM)).astype(np.float32)
    data /= np.linalg.norm(data, axis=1, keepdims=True)
    index = library.BFIndex(space=space, dim=DIM)
    index.init_index(max_elements=N)
    index.add_items(data[:200])
    index.add_items(data[200:300], np.arange(1000, 1100))
    index.set_num_threads(2)
    out = [index.get_current_count(), index.get_max_elements(), index.num_threads]
    out += index.knn_query(data[300:320], k=K)
    out += index.knn_query(data[301], k=2, num_threads=1, filter=lambda label: label % 2 == 0)
    index.delete_vector(7)
    out += [index.get_current_count(), *index.knn_query(data[7], k=3)]
    out += [said(lambda: index.init_index(3))]
    index.save_index(str(folder / "exact"))
    again = library.BFIndex(space=space, dim=DIM)
    again.load_index(str(folder / "exact"), max_elements=2 * N)
    return out + [again.get_current_count(), *again.knn_query(data[300:320], k=K)]


@pytest.mark.parametrize("script", [script, exact_script])
@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_both_give_the_same(script, space, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    wanted = script(theirs, space, tmp_path / "theirs")
    found = script(vecdb.hnswlib, space, tmp_path / "ours")
    assert len(found) == len(wanted)
    for step, (ours, other) in enumerate(zip(found, wanted)):
        if isinstance(other, np.ndarray):
            assert ours.shape == other.shape and ours.dtype == other.dtype, step
            np.testing.assert_allclose(ours, other, rtol=1e-4, atol=1e-5, err_msg=str(step))
        else:
            assert ours == other, step


def test_the_names_are_all_there():
    for kind in ("Index", "BFIndex"):
        names = {name for name in dir(getattr(theirs, kind)) if not name.startswith("_")}
        index = getattr(vecdb.hnswlib, kind)("l2", 4)
        index.init_index(10)
        assert names <= set(dir(index))
    index = vecdb.hnswlib.Index("l2", 4)
    index.init_index(10)
    assert index.index_file_size() >= 0
    index.close()
    with pytest.raises(RuntimeError):
        index.knn_query(np.zeros(4))


def test_too_many_items_are_refused_whole():
    """hnswlib adds as many as fit, and on some runs ends the process."""
    index = vecdb.hnswlib.Index("l2", 4)
    index.init_index(10)
    index.add_items(np.eye(4), [1, 2, 3, 4])
    with pytest.raises(RuntimeError):
        index.add_items(np.ones((7, 4)), range(10, 17))
    for wrong in (index.knn_query, index.add_items):  # hnswlib reads past the end of the rows
        with pytest.raises(RuntimeError):
            wrong(np.ones((2, 3)))
    index.add_items(np.ones((7, 4)), [4, *range(10, 16)])
    assert index.get_ids_list() == [1, 2, 3, 4, 10, 11, 12, 13, 14, 15]


def test_what_is_no_saved_index_is_refused(tmp_path):
    index = vecdb.hnswlib.Index("l2", 4)
    index.init_index(10)
    index.add_items(np.eye(4))
    with pytest.raises(RuntimeError):
        index.save_index(tmp_path)
    index.save_index(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    at = whole.index(np.eye(4, dtype=np.float32)[2].tobytes())
    damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:]
    with tarfile.open(tmp_path / "out", "w") as archive:
        archive.add(tmp_path / "whole", "../outside")
    for data in (b"", b"letters", whole[:5000], damaged, (tmp_path / "out").read_bytes()):
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(RuntimeError):
            index.load_index(tmp_path / "bad")
    assert index.get_current_count() == 4 and sorted(os.listdir(tmp_path)) == [
        "bad", "out", "whole"]
    other = vecdb.hnswlib.Index("l2", 5)
    index.save_index(tmp_path / "saved")
    with pytest.raises(vecdb.DimensionError):
        other.load_index(tmp_path / "saved")
