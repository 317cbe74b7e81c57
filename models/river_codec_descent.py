"""The check that the trees of a decoded estimator end: a loop in one would stop a worker at its next prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

__all__ = ["check_descent"]

_DOWN: Final = ("_left", "_right", "_alternate_tree")


def check_descent(objects: Sequence[Any]) -> None:
    """Refuse trees in which a way down, or the way up, comes back to where it was.

    Parameters
    ----------
    objects
        All objects of an estimator, filled.

    Raises
    ------
    ValueError
        If a node is below, or above, itself.
    """
    _check_ends(objects, _below)
    _check_ends(objects, _above)


def _below(node: Any) -> Iterable[Any]:
    children = getattr(node, "children", ())
    yield from children if isinstance(children, list | tuple) else ()
    for name in _DOWN:
        yield getattr(node, name, None)


def _above(node: Any) -> Iterable[Any]:
    yield getattr(node, "parent", None)


def _check_ends(objects: Sequence[Any], onward: Callable[[Any], Iterable[Any]]) -> None:
    done: set[int] = set()
    for start in objects:
        on_the_way: set[int] = set()
        ahead = [(start, False)]
        while ahead:
            node, left = ahead.pop()
            if left:
                on_the_way.discard(id(node))
                done.add(id(node))
            elif id(node) in on_the_way:
                raise ValueError("expected a tree, got a node that leads to itself")
            elif id(node) not in done:
                on_the_way.add(id(node))
                ahead.append((node, True))
                # What is no node (text, a number, nothing) leads nowhere.
                ahead += [(one, False) for one in onward(node) if hasattr(one, "__dict__") or hasattr(one, "_left")]
