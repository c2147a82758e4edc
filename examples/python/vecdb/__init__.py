"""An embeddable vector database: see README.md for the things people do first.

    with vecdb.open("docs.vecdb") as db:
        docs = db["docs"]
        print(docs.search(query, k=10, filter="year > {y}", params={"y": 2020}).ids)
"""

from . import _c, errors
from .collection import Collection
from .database import Database, restore
from .errors import *  # noqa: F401,F403
from .fused import Fusion, Groups, Part
from .learn import Optimizer, OptimizerKind, Push
from .schema import Field, Metric, Type, index_estimate
from .search import HIT, Hits, Plan, Searcher, SearchIterator
from .values import PAIR

open = Database
__version__ = str(_c.lib.vecdb_version().decode())


def kernels() -> str:
    """The instruction set in use, such as "avx2"."""
    return str(_c.lib.vecdb_kernels().decode())


__all__ = ["Collection", "Database", "Field", "Fusion", "Groups", "HIT", "Hits", "Metric",
           "Optimizer", "OptimizerKind", "PAIR", "Part", "Plan", "Push", "Searcher",
           "SearchIterator", "Type", "index_estimate", "kernels", "open", "restore"]
__all__ += errors.__all__
