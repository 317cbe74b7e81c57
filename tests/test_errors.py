"""The error tree is the one that engine/errors.py draws, and an error crosses a process whole."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import re

import engine
import engine.errors
import models
import streams
from engine.errors import HenjiError, InvalidEvent


def drawn(text: str) -> dict[str, str]:
    """Child -> parent of the indented tree in a docstring; the root's parent is `Exception`."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = re.fullmatch(r"( *)([A-Z]\w*)(\s{2,}.*)?", line)
        if match is None:
            if parents:
                break
            continue
        depth, name = len(match[1]), match[2]
        while above and above[-1][0] >= depth:
            above.pop()
        parents[name] = above[-1][1] if above else "Exception"
        above.append((depth, name))
    return parents


def written() -> dict[str, str]:
    """Child -> parent of the classes themselves."""
    classes = [value for value in vars(engine.errors).values() if inspect.isclass(value)]
    return {cls.__name__: cls.__base__.__name__ for cls in classes if cls.__base__ is not None}


def all_errors() -> list[type[HenjiError]]:
    """Every error class of the project, wherever it is defined."""
    for package in (engine, models, streams):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: list[type[HenjiError]] = []
    open_ends: list[type[HenjiError]] = [HenjiError]
    while open_ends:
        cls = open_ends.pop()
        found.append(cls)
        open_ends += cls.__subclasses__()
    return sorted(found, key=lambda cls: (cls.__module__, cls.__qualname__))


def sample(cls: type[HenjiError]) -> HenjiError:
    """An error with another value in each of its fields, of the type that its constructor asks for."""
    if cls.__init__ is HenjiError.__init__:
        return cls("lateness: expected a duration, got 'soon' (henji.toml, line 3); write it as '1h'")
    values: dict[str, object] = {}
    for index, (name, parameter) in enumerate(list(inspect.signature(cls.__init__).parameters.items())[1:]):
        kind = str(parameter.annotation).replace(" | None", "")
        values[name] = {"str": f"{name} {index}", "int": 41 + index, "bytes": b"%d" % index}.get(
            kind, f"{name} {index}"
        )
    return cls(**values)


def test_the_drawn_tree_is_the_one_of_the_classes() -> None:
    assert drawn(engine.errors.__doc__ or "") == written()


def test_the_drawing_is_read_with_its_depths() -> None:
    tree = "Words first.\n\nRoot\n  A    why\n    B    why\n  C\n\nNot   This"
    assert drawn(tree) == {"Root": "Exception", "A": "Root", "B": "A", "C": "Root"}


def test_every_error_of_the_tree_is_public() -> None:
    assert sorted(written()) == engine.errors.__all__


# One test, not one a class: a module that cannot be imported fails this test and not the collection of all tests.
def test_every_error_survives_pickling_with_all_its_fields() -> None:
    for cls in all_errors():
        error = sample(cls)
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is cls
        assert vars(again) == vars(error), cls
        assert (again.args, str(again)) == (error.args, str(error)), cls


def test_a_long_value_is_cut_and_survives_pickling() -> None:
    error = InvalidEvent("type", "attributes.role", "a string", "x" * 1_000)
    again = pickle.loads(pickle.dumps(error))
    assert len(error.got) == 80
    assert again.got == error.got
    assert vars(again) == vars(error)
