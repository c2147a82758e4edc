"""LangChain's VectorStore over a collection of vecdb.

    store = VecdbVectorStore(embeddings, path="texts.vecdb")
    store.add_texts(["a text"], [{"year": 2024}])
    store.similarity_search("words", k=3, filter={"year": 2024})

The asynchronous methods are LangChain's own, which run these in a thread: the calls release the
interpreter's lock. Texts may have 65,535 bytes, as VARCHAR does; so may metadata, as JSON.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Callable, Iterable, Optional, Sequence, Union

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from .collection import Collection
from .database import Database, Path
from .errors import NotFoundError
from .schema import Field, Metric, Type

# A filter: text for vecdb, over the JSON field `metadata`, or values that metadata must equal.
Filter = Union[str, dict[str, Any], None]


class VecdbVectorStore(VectorStore):
    """Documents with their embeddings in one collection, compared by cosine.

    database: an open database, or else path: one that the store opens, and close() closes. The
    collection is made when the first texts come, with the dimension of their embeddings."""

    def __init__(self, embedding: Embeddings, *, path: Path = ":memory:",
                 database: Optional[Database] = None, collection: str = "langchain",
                 index: str = "AUTO") -> None:
        self._embedding = embedding
        self._database = Database(path) if database is None else database
        self._owned = database is None
        self._name, self._index = collection, index
        self._collection: Optional[Collection] = None
        try:
            self._collection = self._database.collection(collection)
        except NotFoundError:
            pass

    @property
    def embeddings(self) -> Embeddings:
        return self._embedding

    def close(self) -> None:
        """Closes the collection, and the database if the store opened it."""
        if self._collection is not None:
            self._collection.close()
        if self._owned:
            self._database.close()

    def _made(self, dim: int) -> Collection:
        if self._collection is None:
            self._collection = self._database.create(self._name, [
                Field("id", Type.VARCHAR, primary_key=True), Field("text", Type.VARCHAR),
                Field("metadata", Type.VARCHAR),
                Field("embedding", Type.FLOAT_VECTOR, dim=dim, metric=Metric.COSINE,
                      index=self._index)])
        return self._collection

    # Writes

    def add_texts(self, texts: Iterable[str], metadatas: Optional[list[dict[Any, Any]]] = None, *,
                  ids: Optional[Sequence[Optional[str]]] = None, **kwargs: Any) -> list[str]:
        """Embeds and writes texts; those with an id that is there are replaced."""
        texts = list(texts)
        for given, what in ((metadatas, "metadatas"), (ids, "ids")):
            if given is not None and len(given) != len(texts):
                raise ValueError(f"{len(given)} {what} for {len(texts)} texts")
        keys = [key or str(uuid.uuid4()) for key in ids or [None] * len(texts)]
        if not texts:
            return []
        vectors = np.array(self._embedding.embed_documents(texts), np.float32)
        self._made(vectors.shape[1]).upsert({
            "id": keys, "text": texts, "embedding": vectors,
            "metadata": [json.dumps(data) for data in metadatas or [{}] * len(texts)]})
        return keys

    def delete(self, ids: Optional[Sequence[str]] = None, **kwargs: Any) -> bool:
        """Deletes documents by their ids; all of them if there are none."""
        if self._collection is None:
            return True
        if ids is None:
            self._collection.delete(filter="true")
        elif ids:
            self._collection.delete(list(ids))
        return True

    # Reads

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        if self._collection is None or not ids:
            return []
        return [document(row) for row in self._collection.get(list(ids), ["text", "metadata"])]

    def _search(self, vector: Sequence[float], k: int, filter: Filter,
                fields: Sequence[str] = ("text", "metadata"), **how: Any
                ) -> list[tuple[dict[str, Any], float]]:
        """Rows with their cosines, the nearest first."""
        if self._collection is None:
            return []
        text, params = bind(filter)
        hits = self._collection.search(np.array(vector, np.float32), k, fields=fields,
                                       filter=text, params=params, **how)
        return list(zip(hits.rows or [], hits.scores.tolist()))

    def similarity_search_with_score_by_vector(self, embedding: Sequence[float], k: int = 4, *,
                                               filter: Filter = None,
                                               **how: Any) -> list[tuple[Document, float]]:
        """Documents with their cosines. `how`: recall, ef and the like, as of Collection.search."""
        return [(document(row), score) for row, score in self._search(embedding, k, filter, **how)]

    def similarity_search_with_score(self, query: str, k: int = 4,
                                     **kwargs: Any) -> list[tuple[Document, float]]:
        vector = self._embedding.embed_query(query)
        return self.similarity_search_with_score_by_vector(vector, k, **kwargs)

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4,
                                    **kwargs: Any) -> list[Document]:
        found = self.similarity_search_with_score_by_vector(embedding, k, **kwargs)
        return [document for document, _ in found]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda cosine: min(max((1 + cosine) / 2, 0.0), 1.0)  # rounding may pass 1

    def max_marginal_relevance_search_by_vector(
            self, embedding: list[float], k: int = 4, fetch_k: int = 20,
            lambda_mult: float = 0.5, *, filter: Filter = None, **how: Any) -> list[Document]:
        found = self._search(embedding, fetch_k, filter, ("text", "metadata", "embedding"), **how)
        chosen = maximal_marginal_relevance(
            np.array(embedding), [row["embedding"] for row, _ in found], lambda_mult, k)
        return [document(found[i][0]) for i in chosen]

    def max_marginal_relevance_search(self, query: str, k: int = 4, fetch_k: int = 20,
                                      lambda_mult: float = 0.5, **kwargs: Any) -> list[Document]:
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult,
                                                            **kwargs)

    @classmethod
    def from_texts(cls, texts: list[str], embedding: Embeddings,
                   metadatas: Optional[list[dict[Any, Any]]] = None, *,
                   ids: Optional[list[str]] = None, **kwargs: Any) -> "VecdbVectorStore":
        """A store with these texts. kwargs: those of the constructor."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store


def document(row: dict[str, Any]) -> Document:
    """The document of a row."""
    return Document(id=row["id"], page_content=row["text"], metadata=json.loads(row["metadata"]))


def bind(filter: Filter) -> tuple[Optional[str], dict[str, Any]]:
    """A filter as text with parameters."""
    if not isinstance(filter, dict):
        return filter, {}
    params = {f"value{i}": value for i, value in enumerate(filter.values())}
    terms = [f"metadata[{json.dumps(key)}] {'in' if isinstance(value, list) else '=='} {{{name}}}"
             for (key, value), name in zip(filter.items(), params)]
    return " and ".join(terms) or None, params
