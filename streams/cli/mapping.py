"""The mapping file of the command line."""

from __future__ import annotations

from pathlib import Path

from engine.errors import UsageError
from engine.vocabulary import Vocabulary

__all__ = ["read_mapping"]


def read_mapping(path: Path | None) -> Vocabulary | None:
    """The words of `--map FILE`; `None` when it was not given.

    Raises
    ------
    UsageError
        If it cannot be read.
    VocabularyError
        If anything in it is wrong.
    """
    if path is None:
        return None
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--map: expected a readable UTF-8 file, got {path}: {error}") from error
    return Vocabulary.parse(text, str(path))
