"""llama-index's vector stores for Milvus and for Qdrant, unmodified, against a running vecdbd: adding
nodes, queries with and without filters held against numpy, getting and deleting. PORT is the server's."""
import logging
import sys
import warnings

import numpy as np
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (FilterCondition, FilterOperator, MetadataFilter,
                                                  MetadataFilters, VectorStoreQuery)

DIM, NODES, TOP = 24, 150, 7


def make_nodes():
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((NODES, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [TextNode(
        id_=f"00000000-0000-4000-8000-{i:012d}", text=f"text {i}", embedding=vectors[i].tolist(),
        metadata={"year": 2000 + i % 20, "topic": ["tech", "news", "sport"][i % 3]},
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc{i % 10}")},
    ) for i in range(NODES)], vectors


def where(*conditions, condition=FilterCondition.AND):
    return MetadataFilters(filters=[MetadataFilter(key=k, operator=o, value=v)
                                    for k, o, v in conditions], condition=condition)


def check_queries(store, nodes, vectors):
    """Each answer is the exact one among the nodes that pass: collections this small are scanned."""
    cases = [
        (None, lambda m: True),
        (where(("topic", FilterOperator.EQ, "news")), lambda m: m["topic"] == "news"),
        (where(("year", FilterOperator.GTE, 2010), ("topic", FilterOperator.NE, "tech")),
         lambda m: m["year"] >= 2010 and m["topic"] != "tech"),
        (where(("year", FilterOperator.LT, 2003), ("topic", FilterOperator.EQ, "sport"),
               condition=FilterCondition.OR),
         lambda m: m["year"] < 2003 or m["topic"] == "sport"),
        (where(("topic", FilterOperator.IN, ["tech", "news"])),
         lambda m: m["topic"] in ("tech", "news")),
    ]
    rng = np.random.default_rng(6)
    for filters, passes in cases:
        query = rng.standard_normal(DIM)
        query /= np.linalg.norm(query)
        answer = store.query(VectorStoreQuery(query_embedding=query.tolist(),
                                              similarity_top_k=TOP, filters=filters))
        rows = [i for i in range(NODES) if passes(nodes[i].metadata)]
        best = sorted(rows, key=lambda i: -float(vectors[i] @ query))[:TOP]
        assert answer.ids == [nodes[i].node_id for i in best], (filters, answer.ids)
        assert np.allclose(answer.similarities, [vectors[i] @ query for i in best], atol=1e-4)
        assert [n.get_content() for n in answer.nodes] == [nodes[i].text for i in best]
        assert [n.metadata["year"] for n in answer.nodes] == [
            nodes[i].metadata["year"] for i in best]


def check_store(store):
    nodes, vectors = make_nodes()
    assert store.add(nodes) == [n.node_id for n in nodes]
    check_queries(store, nodes, vectors)
    wanted = [nodes[3].node_id, nodes[8].node_id]
    got = store.get_nodes(node_ids=wanted)
    assert sorted(n.node_id for n in got) == wanted
    store.delete("doc3")  # of ten documents
    store.delete_nodes(node_ids=[nodes[4].node_id])
    left = store.query(VectorStoreQuery(query_embedding=vectors[4].tolist(),
                                        similarity_top_k=NODES)).ids
    assert set(left) == {n.node_id for i, n in enumerate(nodes) if i % 10 != 3 and i != 4}
    store.clear()


def main():
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    address = f"http://127.0.0.1:{sys.argv[1]}"
    from llama_index.vector_stores.milvus import MilvusVectorStore
    check_store(MilvusVectorStore(uri=address, dim=DIM, collection_name="llama", overwrite=True,
                                  similarity_metric="IP", use_async_client=False,
                                  output_fields=["year", "topic"]))
    print("llama_index with Milvus's client: ok")
    import qdrant_client
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    client = qdrant_client.QdrantClient(url=address)
    check_store(QdrantVectorStore("llama", client=client))
    print("llama_index with Qdrant's client: ok")


if __name__ == "__main__":
    main()
