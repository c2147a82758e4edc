"""LangChain's standard tests of vector stores, and what they leave out."""

from __future__ import annotations

from typing import Iterator

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from vecdb.langchain import VecdbVectorStore

TEXTS = ["one", "two", "three", "four"]
METADATA = [{"n": 1, "odd": True}, {"n": 2, "tag": 'a "b"'}, {"n": 3, "odd": True}, {}]


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture()
    def vectorstore(self, tmp_path) -> Iterator[VecdbVectorStore]:
        store = VecdbVectorStore(self.get_embeddings(), path=tmp_path / "db")
        yield store
        store.close()


def filled(**where) -> VecdbVectorStore:
    return VecdbVectorStore.from_texts(TEXTS, DeterministicFakeEmbedding(size=6), METADATA,
                                       ids=["1", "2", "3", "4"], **where)


@pytest.mark.parametrize("filter, ids", [
    ({"n": 2}, {"2"}), ({"odd": True}, {"1", "3"}), ({"n": [1, 2]}, {"1", "2"}),
    ({"tag": 'a "b"'}, {"2"}), ({"odd": True, "n": 3}, {"3"}), ({}, {"1", "2", "3", "4"}),
    ('metadata["n"] >= 2', {"2", "3"}), ({"none": 1}, set())])
def test_filters(filter, ids):
    found = filled().similarity_search("one", k=4, filter=filter)
    assert {document.id for document in found} == ids


def test_scores_are_cosines():
    embedding = DeterministicFakeEmbedding(size=6)
    query = np.array(embedding.embed_query("words"))
    for document, score in filled().similarity_search_with_score("words", k=4):
        vector = np.array(embedding.embed_query(document.page_content))
        cosine = vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)
        assert score == pytest.approx(cosine, abs=1e-5)
    found = filled().similarity_search_with_relevance_scores("one", k=1)
    assert found[0][0].id == "1" and found[0][1] == pytest.approx(1)


def test_diverse_results():
    documents = filled().max_marginal_relevance_search("one", k=3, fetch_k=4)
    assert documents[0].id == "1" and len({document.id for document in documents}) == 3


def test_documents_stay(tmp_path):
    filled(path=tmp_path / "db").close()
    store = VecdbVectorStore(DeterministicFakeEmbedding(size=6), path=tmp_path / "db")
    assert store.get_by_ids(["3"]) == [
        Document(id="3", page_content="three", metadata={"n": 3, "odd": True})]
    store.delete()
    assert store.similarity_search("one") == []
    with pytest.raises(ValueError):
        store.add_texts(["a"], [{}, {}])
    store.close()
