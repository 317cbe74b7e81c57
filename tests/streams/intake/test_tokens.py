"""Who may send."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from streams.intake.tokens import TokenFile, parse_tokens

A, B, C = ("a" * 16, "b" * 32, "c" * 64 + "==")


def replace(path: Path, text: str) -> None:
    """As an editor or a secret store does it: the new file takes the place of the old."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# clients\n\nshop:{A}\nshop:{B}\n desk:control:{C} \n")
    return path


def test_each_of_several_live_tokens_is_found(path: Path) -> None:
    tokens = TokenFile(path, "test")
    found = [tokens.find(each) for each in (A, B, C)]
    assert [(t.name, t.control) for t in found if t is not None] == [
        ("shop", False),
        ("shop", False),
        ("desk", True),
    ]


@pytest.mark.parametrize("presented", ["", A[:-1], A + "a", A.upper(), "shop", f"shop:{A}", f"control:{C}", "\udcff"])
def test_what_is_no_token_is_not_found(path: Path, presented: str) -> None:
    assert TokenFile(path, "test").find(presented) is None


def test_a_change_counts_from_the_next_request_on(path: Path) -> None:
    tokens = TokenFile(path, "test")
    replace(path, f"shop:{B}\n")
    assert tokens.find(A) is None
    assert tokens.find(B) is not None
    replace(path, "")
    assert tokens.find(B) is None


@pytest.mark.parametrize("text", ["shop:short\n", "\xff".encode("latin-1"), None], ids=["wrong", "not UTF-8", "gone"])
def test_a_slip_of_the_pen_leaves_the_old_tokens_and_is_logged_once(
    path: Path, text: str | bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = TokenFile(path, "test")
    if text is None:
        path.unlink()
    elif isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text)
    with caplog.at_level(logging.INFO):
        assert [tokens.find(A) is not None for _ in range(3)] == [True] * 3
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    replace(path, f"shop:{C}\n")
    assert tokens.find(A) is None
    assert tokens.find(C) is not None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("shop:short", 1),
        ("shop", 1),
        (f"\n:{A}", 2),
        (f"a shop:{A}", 1),
        (f"shop:admin:{A}", 1),
        (f"shop:control::{A}", 1),
        (f"shop:{A}é", 1),
        (f"shop:{A}\ndesk:control:{A}", 2),
    ],
)
def test_a_wrong_line_is_named_and_its_token_is_not(text: str, line: int) -> None:
    with pytest.raises(ConfigurationError, match=f"tokens, line {line}: ") as error:
        parse_tokens(text, "tokens")
    assert A not in str(error.value)
    assert "short" not in str(error.value)


def test_no_token_is_kept_or_shown(path: Path) -> None:
    tokens = TokenFile(path, "test")
    assert A not in repr(vars(tokens))
    assert A not in repr(tokens.find(A))


def test_a_file_without_tokens_or_without_rights_stops_the_start(path: Path, tmp_path: Path) -> None:
    path.write_text("# none yet\n")
    with pytest.raises(ConfigurationError, match="at least one token"):
        TokenFile(path, "henji.toml")
    with pytest.raises(ConfigurationError, match=r"intake\.token_file \(henji\.toml\)"):
        TokenFile(tmp_path / "missing", "henji.toml")
    if os.geteuid() != 0:
        path.chmod(0)
        with pytest.raises(ConfigurationError, match="readable"):
            TokenFile(path, "henji.toml")
