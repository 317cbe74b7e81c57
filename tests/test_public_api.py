"""What is public is listed: `__all__` of every module is sorted, exists, and leaves nothing out."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def modules() -> list[str]:
    """Names of the public modules that define something; a package may be no more than its docstring."""
    names = []
    for package in ("engine", "models", "streams"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.stem.startswith("_") and path.stem != "__init__":
                continue
            if any(not _says_nothing(node) for node in ast.parse(path.read_text(encoding="utf-8")).body):
                parts = path.relative_to(ROOT).with_suffix("").parts
                names.append(".".join(part for part in parts if part != "__init__"))
    return names


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def order(name: str) -> tuple[int, list[tuple[int, int | str]]]:
    """CONSTANTS, then Classes, then functions; numbers in names by value (the order that ruff's RUF022 keeps)."""
    group = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return group, [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


def unlisted(module: ModuleType) -> list[str]:
    """Public classes and functions that a module defines and does not list."""
    return sorted(
        name
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and name not in module.__all__
    )


@pytest.mark.parametrize("name", modules())
def test_a_module_lists_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    assert hasattr(module, "__all__"), f"{name}: expected an __all__, got none; list what others may import"
    listed = list(module.__all__)
    assert listed == sorted(set(listed), key=order)
    assert [public for public in listed if not hasattr(module, public)] == []
    assert unlisted(module) == []


def test_the_order_is_constants_classes_functions() -> None:
    assert sorted(["b", "a10", "a9", "Beta", "Z_MAX", "Alpha"], key=order) == [
        "Z_MAX",
        "Alpha",
        "Beta",
        "a9",
        "a10",
        "b",
    ]


def test_a_function_that_is_not_listed_is_found() -> None:
    module = ModuleType("planted")
    exec("__all__ = ['a']\ndef a(): ...\ndef b(): ...\ndef _c(): ...\n", vars(module))
    assert unlisted(module) == ["b"]
