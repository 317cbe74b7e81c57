"""River's estimators as data: a graph of records that holds no code and names none.

An estimator is stored as three flat lists, so that reading needs no recursion however deep its trees are:

* *shapes*: what a record is, once for all records alike: a name and, for an object, its attributes in order;
* *shells*: records of what can be made empty and filled later, the estimator itself first: objects, lists, dicts,
  sets, generators of random numbers, windows of ADWIN;
* *built*: records of what must be made whole: tuples, frozen sets, vectors, partials, names of functions, bound
  methods. They hold shells, and of the built only those before them.

A record is `[number of its shape, value, ...]`. A value is nothing, a truth, a number, text, or `[number of a record]`,
counted through shells and then built. So what was shared is shared again, and cycles close.

Names are looked up in the closed lists of `models.river_codec_classes`; nothing is imported, called or evaluated
because the data say so. A forged graph can make a model that answers nonsense or raises when it is used, no more.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from models.errors import SnapshotDamaged
from models.river_codec_graph import MAX_RECORDS, Graph
from models.river_codec_read import Reader
from models.river_codec_write import Writer
from models.snapshot import unpack

__all__ = ["MAX_BYTES", "decode", "encode", "unpack_bounded"]

MAX_BYTES: Final = 64 * 1024 * 1024
"""Longest snapshot that is made or read: a state that is stored again and again should be far smaller."""

S = TypeVar("S")


def encode(estimator: object) -> Graph:
    """An estimator's whole state.

    Parameters
    ----------
    estimator
        One that `models.river_spec` makes, at any point of its stream.

    Raises
    ------
    StateRefused
        If it holds an object of a class that is not in the closed list, or more than `MAX_RECORDS`.

    Examples
    --------
    >>> from river import linear_model
    >>> model = linear_model.LogisticRegression()
    >>> model.learn_one({"visits": 2.0}, True)
    >>> again = decode(encode(model))
    >>> again.predict_proba_one({"visits": 1.0}) == model.predict_proba_one({"visits": 1.0})
    True
    """
    return Writer(estimator).graph()


def decode(graph: Graph) -> Any:
    """The estimator that `encode` was given; it goes on to the bit.

    Raises
    ------
    SnapshotDamaged
        If the graph is not one that `encode` makes.
    """
    if len(graph.shells) + len(graph.built) > MAX_RECORDS:
        raise SnapshotDamaged(f"river: expected at most {MAX_RECORDS} records; restore a backup or replay the log")
    try:
        return Reader(graph).estimator()
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Whatever a record has wrong shows itself as one of these where it is used.
        raise SnapshotDamaged(f"river: {error}; restore a backup or replay the log") from error


def unpack_bounded(kind: str, data: bytes, state_type: type[S]) -> S:
    """`models.snapshot.unpack` for bytes that hold a graph: of bounded length, and of any depth.

    Raises
    ------
    SnapshotError
        If the bytes are not a whole state of this kind.
    """
    if len(data) > MAX_BYTES:
        raise SnapshotDamaged(f"{kind}: expected at most {MAX_BYTES} bytes, got {len(data)}; restore a backup")
    try:
        return unpack(kind, data, state_type)
    except (RecursionError, UnicodeDecodeError) as error:
        raise SnapshotDamaged(f"{kind}: expected lists of plain values, got {error}; restore a backup") from error
