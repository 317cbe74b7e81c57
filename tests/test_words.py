"""No file names a path of somebody's machine or the host of a package registry: the tree builds anywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# In halves, so that this file does not find itself.
FOLDERS = ["/work" + "/", "/root" + "/", "/home" + "/", "/Users" + "/", "/opt" + "/wheels"]
HOSTS = [
    *("pypi" + ".org", "pythonhosted" + ".org", "crates" + ".io", "registry.npmjs" + ".org", "proxy.golang" + ".org"),
    *("repo.maven.apache" + ".org", "repo1.maven" + ".org", "deb.debian" + ".org"),
]
# A folder counts where a path begins, not in the middle of one; a host counts anywhere.
FORBIDDEN = re.compile(
    "|".join(
        [rf"(?<![\w.$}}-]){re.escape(folder)}" for folder in FOLDERS] + [re.escape(host) for host in HOSTS]
    ).encode()
)
MADE = {".git", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", "__pycache__", "build", "dist"}


def files() -> list[Path]:
    """What git tracks or would track; without git, everything but what tools make."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        command = [git, "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\0")
        return [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not MADE & set(path.relative_to(ROOT).parts)]


def words(content: bytes) -> list[str]:
    """Every forbidden word with its line number."""
    return [
        f"{number}: {match[0].decode()}"
        for number, line in enumerate(content.splitlines(), 1)
        for match in FORBIDDEN.finditer(line)
    ]


def test_no_file_names_a_machine_or_a_registry() -> None:
    tracked = files()
    assert ROOT / "pyproject.toml" in tracked
    found = [f"{path.relative_to(ROOT)}:{word}" for path in tracked for word in words(path.read_bytes())]
    assert found == []


@pytest.mark.parametrize("word", FOLDERS + HOSTS)
def test_a_planted_word_is_found(word: str) -> None:
    assert words(f"first\nsee {word}x".encode()) == [f"2: {word}"]


def test_a_folder_of_the_tree_is_no_machine() -> None:
    assert words(b"docs" + FOLDERS[0].encode() + b"page.md, ./home" + b"/x, net" + FOLDERS[0][1:].encode()) == []
