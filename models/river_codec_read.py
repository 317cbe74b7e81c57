"""The half of the codec that puts an estimator together from data that nobody vouches for; see `models.river_codec`.

It may raise ArithmeticError, AttributeError, LookupError, TypeError or ValueError on a record that is wrong; the codec
makes `SnapshotDamaged` of each.
"""

from __future__ import annotations

import collections
import functools
import random
import struct
import types
from collections.abc import Iterable
from typing import Any, Final

from river._river_rust.drift import AdaptiveWindowing
from river.compose import Pipeline
from river.optim.base import Initializer
from river.proba import Gaussian
from river.utils import VectorDict

from models.river_codec_adwin import check_window
from models.river_codec_classes import CALLABLES, CLASSES, LEFT_OUT, METHODS
from models.river_codec_descent import check_descent
from models.river_codec_graph import PLAIN, Graph

__all__ = ["Reader"]

_MUTABLE: Final[dict[str, Any]] = {
    "list": list,
    "dict": dict,
    "set": set,
    "defaultdict": collections.defaultdict,
    "Counter": collections.Counter,
    "OrderedDict": collections.OrderedDict,
}
_KINDS: Final = frozenset(CLASSES.values())
_WORDS: Final = struct.Struct("<625I")
_LONGEST_NAME: Final = 64


class Reader:
    """Makes one estimator.

    Parameters
    ----------
    graph
        Records, not yet looked at.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._sample = random.Random(0)
        self._made: list[Any] = []
        for name, attributes in graph.shapes:
            _check_shape(name, attributes)

    def estimator(self) -> Any:
        """What the first shell becomes."""
        graph = self._graph
        self._made += [self._shell(record) for record in graph.shells]
        for record in graph.built:
            self._made.append(self._whole(record))
        for one, record in zip(self._made, graph.shells, strict=False):
            self._fill(one, record)
        check_descent([one for one in self._made if type(one) in _KINDS])
        return self._made[0]

    def _shape(self, record: list[Any]) -> tuple[str, list[str]]:
        number = record[0]
        if type(number) is not int or number < 0:
            raise TypeError(f"expected the number of a shape, got {number!r}")
        return self._graph.shapes[number]

    def _value(self, raw: Any) -> Any:
        if type(raw) in PLAIN:
            return raw
        if type(raw) is not list or len(raw) != 1 or type(raw[0]) is not int or raw[0] < 0:
            raise TypeError("expected a plain value or the number of a record, got something else")
        return self._made[raw[0]]

    def _values(self, raws: Iterable[Any]) -> list[Any]:
        return [self._value(raw) for raw in raws]

    def _pairs(self, raws: list[Any]) -> dict[Any, Any]:
        pairs = dict(zip(self._values(raws[::2]), self._values(raws[1::2]), strict=True))
        if 2 * len(pairs) != len(raws):
            raise ValueError("expected different keys in a dict, got one twice")
        return pairs

    def _shell(self, record: list[Any]) -> Any:
        name, _ = self._shape(record)
        if name in CLASSES:
            # Not `cls()`: an object is made without running any of its class's code.
            return object.__new__(CLASSES[name])
        if name in _MUTABLE:
            return _MUTABLE[name]()
        if name == "deque":
            return collections.deque(maxlen=_count(record[1]) if record[1] is not None else None)
        if name == "random":
            return _generator(*record[1:])
        if name == "window":
            return _window(*record[1:])
        raise ValueError(f"expected something that can be filled, got {name!r}")

    def _whole(self, record: list[Any]) -> Any:
        name, _ = self._shape(record)
        match name, record[1:]:
            case "tuple", values:
                return tuple(self._values(values))
            case "frozenset", values:
                return frozenset(self._values(values))
            case "name", [str(called)]:
                return CALLABLES[called]
            case "vector", [default, *pairs]:
                return self._vector(default, pairs)
            case "partial", [function, n_args, *values]:
                return self._partial(function, _count(n_args), values)
            case "method", [owner, str(called)]:
                return self._method(owner, called)
        raise ValueError(f"expected something that is made whole, got {name!r}")

    def _vector(self, default: Any, pairs: list[Any]) -> Any:
        values = self._pairs(pairs)
        if not all(type(value) in (int, float) for value in values.values()):
            raise TypeError("expected numbers in a vector, got something else")
        maker = self._value(default)
        if maker is not None and not isinstance(maker, Initializer):
            raise TypeError("expected an initializer of a vector, got something else")
        return VectorDict(values, maker, None, True)

    def _partial(self, function: Any, n_args: int, values: list[Any]) -> functools.partial[Any]:
        called, args, named = self._value(function), self._values(values[:n_args]), self._pairs(values[n_args:])
        if len(args) != n_args or not all(type(name) is str for name in named):
            raise ValueError("expected the arguments of a partial, got something else")
        for one in (called, *args, *named.values()):
            # By identity: a list or an object has no place in the factories of the closed list.
            if type(one) not in PLAIN and not any(one is known for known in CALLABLES.values()):
                raise ValueError("expected functions of the closed list in a partial, got something else")
        return functools.partial(called, *args, **named)

    def _method(self, owner: Any, called: str) -> types.MethodType:
        holder = self._value(owner)
        if called not in METHODS.get(type(holder), ()):
            raise ValueError(f"expected a method of the closed list, got {called!r}")
        return types.MethodType(getattr(type(holder), called), holder)

    def _fill(self, one: Any, record: list[Any]) -> None:
        name, attributes = self._shape(record)
        values = record[1:]
        if name in CLASSES:
            self._fill_object(one, attributes, values)
        elif name == "set":
            one.update(self._values(values))
        elif name == "list":
            one.extend(self._values(values))
        elif name == "deque":
            one.extend(self._values(values[1:]))
        elif name == "defaultdict":
            factory = self._value(values[0])
            if not (factory is None or isinstance(factory, functools.partial | type | types.FunctionType)):
                raise TypeError("expected a factory of defaults, got something else")
            one.default_factory = factory
            one.update(self._pairs(values[1:]))
        elif isinstance(one, dict):
            # One by one: a Counter's own update adds up, a dict's leaves an OrderedDict without order.
            for key, value in self._pairs(values).items():
                one[key] = value

    def _fill_object(self, one: Any, attributes: list[str], raws: list[Any]) -> None:
        values = self._values(raws)
        held: dict[str, Any] | None = getattr(one, "__dict__", None)
        for attribute, value in zip(attributes, values, strict=True):
            if held is None:
                object.__setattr__(one, attribute, value)
            else:
                held[attribute] = value
        if held is None:
            return
        if type(one) is Pipeline:
            held.update({"_plan": None, "_inference_transformers": (), "_last_step_cached": None})
        elif type(one) is Gaussian:
            held["_rng"] = self._sample


def _check_shape(name: str, attributes: list[str]) -> None:
    kind = CLASSES.get(name)
    if kind is None:
        if attributes:
            raise ValueError(f"expected no attributes of {name!r}, got some")
        return
    if len(set(attributes)) != len(attributes):
        raise ValueError(f"expected different attributes of {name!r}, got one twice")
    for attribute in attributes:
        plain = attribute.isidentifier() and not attribute.startswith("__") and len(attribute) <= _LONGEST_NAME
        # What hides a method is what would be called in its place.
        if not plain or attribute in LEFT_OUT.get(kind, ()) or callable(getattr(kind, attribute, None)):
            raise ValueError(f"expected an attribute of {name!r}, got {attribute!r}")


def _count(raw: Any) -> int:
    if type(raw) is not int or raw < 0:
        raise ValueError(f"expected a count, got {raw!r}")
    return raw


def _generator(words: Any, gauss: Any) -> random.Random:
    if type(words) is not bytes or not (gauss is None or type(gauss) is float):
        raise TypeError("expected the state of a generator of random numbers, got something else")
    generator = random.Random(0)
    try:
        generator.setstate((3, _WORDS.unpack(words), gauss))
    except struct.error as error:
        raise ValueError(str(error)) from error
    return generator


def _window(*raws: Any) -> Any:
    match raws:
        case (float(delta), int(clock), int(kept), int(shortest), int(grace), bytes(state)):
            check_window(state, (delta, clock, kept, shortest, grace))
            window = AdaptiveWindowing(delta, clock, kept, shortest, grace)
            window.__setstate__(state)
            return window
    raise TypeError("expected the state of a window, got something else")
