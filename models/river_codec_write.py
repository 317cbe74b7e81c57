"""The half of the codec that takes an estimator apart; see `models.river_codec`."""

from __future__ import annotations

import collections
import functools
import random
import struct
import types
from typing import Any, Final, NamedTuple

from river._river_rust.drift import AdaptiveWindowing
from river.utils import VectorDict

from models.river_codec_classes import CALLABLES, CLASSES, LEFT_OUT, METHODS
from models.river_codec_graph import MAX_RECORDS, PLAIN, Graph, StateRefused

__all__ = ["Part", "Writer"]

_BUILT: Final = frozenset({"tuple", "frozenset", "vector", "partial", "name", "method"})
_NAMES: Final = {found: name for name, found in CALLABLES.items()}
_GENERATOR: Final = type(random.Random(0))
_WORDS: Final = struct.Struct("<625I")


class Part(NamedTuple):
    """What one object is made of.

    Parameters
    ----------
    name
        Full name of its class, or the kind of thing it is.
    attributes
        Of an object, those that it has, in order.
    values
        Those of the attributes, or what a container holds; a dict's are key, value, key, value.
    """

    name: str
    attributes: tuple[str, ...]
    values: list[Any]


class Writer:
    """Makes the graph of one estimator.

    Parameters
    ----------
    root
        The estimator.

    Raises
    ------
    StateRefused
        If something in it cannot be stored.
    """

    def __init__(self, root: object) -> None:
        self._shells: list[tuple[int, Part]] = []
        self._built: dict[int, Part] = {}
        self._find(root)
        self._order = self._built_in_order()
        self._numbers = {key: i for i, (key, _) in enumerate(self._shells)}
        self._numbers |= {key: i for i, key in enumerate(self._order, len(self._shells))}

    def graph(self) -> Graph:
        """The estimator as data."""
        shapes: dict[tuple[str, tuple[str, ...]], int] = {}

        def record(part: Part) -> list[Any]:
            shape = shapes.setdefault((part.name, part.attributes), len(shapes))
            return [shape, *(v if type(v) in PLAIN else [self._numbers[id(v)]] for v in part.values)]

        shells = [record(part) for _, part in self._shells]
        built = [record(self._built[key]) for key in self._order]
        return Graph([(name, list(attributes)) for name, attributes in shapes], shells, built)

    def _find(self, root: object) -> None:
        """Take apart everything that can be reached, each once, without recursion: trees are deep."""
        seen: set[int] = set()
        ahead = [root]
        while ahead:
            one = ahead.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            if len(seen) > MAX_RECORDS:
                raise StateRefused(f"expected at most {MAX_RECORDS} objects in an estimator; bound its depth or nodes")
            part = _part(one)
            if part.name in _BUILT:
                self._built[id(one)] = part
            else:
                self._shells.append((id(one), part))
            # Backwards, so that the first is found first.
            ahead += [value for value in reversed(part.values) if type(value) not in PLAIN]

    def _built_in_order(self) -> list[int]:
        """Each built one after those built ones that it holds."""
        order: dict[int, None] = {}
        for start in self._built:
            ahead = [(start, False)]
            while ahead:
                key, entered = ahead.pop()
                if entered:
                    order[key] = None
                elif key not in order:
                    ahead.append((key, True))
                    ahead += [(id(v), False) for v in self._built[key].values if id(v) in self._built]
        return list(order)


def _part(one: Any) -> Part:
    kind = type(one)
    if kind in _CLASS_NAMES:
        return _object(one, kind)
    if kind in _CONTAINERS:
        return _container(one, kind)
    if kind is VectorDict:
        values, default, mask, _ = one.__reduce__()[1]
        if mask is None:
            return Part("vector", (), [default, *_flat(values)])
    if kind is AdaptiveWindowing:
        return Part("window", (), [*one.__getnewargs__(), one.__getstate__()])
    if kind is _GENERATOR:
        _, words, gauss = one.getstate()
        return Part("random", (), [_WORDS.pack(*words), gauss])
    if kind is functools.partial:
        return Part("partial", (), [one.func, len(one.args), *one.args, *_flat(one.keywords)])
    if kind is types.MethodType and one.__name__ in METHODS.get(type(one.__self__), ()):
        return Part("method", (), [one.__self__, one.__name__])
    if isinstance(one, type | types.FunctionType) and one in _NAMES:
        return Part("name", (), [_NAMES[one]])
    what = f"{kind.__module__}.{kind.__qualname__}"
    raise StateRefused(f"expected parts that the codec knows in the estimator, got a {what}; choose other parameters")


_CLASS_NAMES: Final[dict[Any, str]] = {kind: name for name, kind in CLASSES.items()}
_CONTAINERS: Final[dict[Any, str]] = {
    list: "list",
    tuple: "tuple",
    dict: "dict",
    set: "set",
    frozenset: "frozenset",
    collections.deque: "deque",
    collections.defaultdict: "defaultdict",
    collections.Counter: "Counter",
    collections.OrderedDict: "OrderedDict",
}


@functools.cache
def _slots(kind: type) -> tuple[str, ...]:
    return tuple(name for base in kind.__mro__ for name in base.__dict__.get("__slots__", ()) if name != "__dict__")


def _object(one: Any, kind: type) -> Part:
    out = LEFT_OUT.get(kind)
    held = {name: getattr(one, name) for name in _slots(kind) if hasattr(one, name)}
    held |= getattr(one, "__dict__", {})
    if out is not None:
        held = {name: value for name, value in held.items() if name not in out}
    return Part(_CLASS_NAMES[kind], tuple(held), list(held.values()))


def _container(one: Any, kind: type) -> Part:
    name = _CONTAINERS[kind]
    if kind in (set, frozenset):
        # Sorted: the order of a set of names is another in each process, and nothing may depend on it.
        return Part(name, (), sorted(one, key=lambda value: (type(value).__name__, value)))
    if kind is collections.deque:
        return Part(name, (), [one.maxlen, *one])
    if kind is collections.defaultdict:
        return Part(name, (), [one.default_factory, *_flat(one)])
    return Part(name, (), _flat(one) if isinstance(one, dict) else list(one))


def _flat(pairs: dict[Any, Any]) -> list[Any]:
    return [value for pair in pairs.items() for value in pair]
