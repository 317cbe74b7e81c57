"""Files that a replay writes, each at a length that the ledger knows.

Lines are written and flushed before the transaction that names their length. After a crash the files are longer than
the ledger says, are cut back to it, and go on: no line is lost and none comes twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from engine.errors import UsageError

__all__ = ["OUTPUTS", "Outputs"]

OUTPUTS = ("alerts", "predictions", "dead", "late")
"""Names of the files that grow while the log is read."""


class Outputs:
    """The growing files of one replay.

    Parameters
    ----------
    paths
        Name of `OUTPUTS` -> path, for those that are wanted.

    Raises
    ------
    UsageError
        If a file cannot be opened for writing.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self.paths = dict(paths)
        self._files: dict[str, BinaryIO] = {}

    def covers(self, lengths: Mapping[str, int]) -> bool:
        """Whether every wanted file still has what a ledger says was written to it."""
        for name, path in self.paths.items():
            wanted = lengths.get(name)
            if wanted is None or (path.stat().st_size if path.is_file() else 0) < wanted:
                return False
        return True

    def open(self, lengths: Mapping[str, int]) -> None:
        """Open the files and cut them back to these lengths; a name that is missing starts anew."""
        for name, path in self.paths.items():
            try:
                file = path.open("r+b" if lengths.get(name) else "wb")
                if file.seekable():
                    file.truncate(lengths.get(name, 0))
                    file.seek(0, os.SEEK_END)
            except OSError as error:
                raise UsageError(f"--{name}: expected a file that can be written, got {path}: {error}") from error
            self._files[name] = file

    def write(self, name: str, lines: list[bytes]) -> None:
        """Append lines."""
        file = self._files.get(name)
        if file is not None and lines:
            file.write(b"\n".join(lines) + b"\n")

    def flush(self) -> dict[str, int]:
        """Hand everything to the system; the lengths for the ledger.

        Not synced: a file that a power loss has cut shorter than the ledger says makes the run start over (`covers`).
        """
        for file in self._files.values():
            file.flush()
        return {name: file.tell() for name, file in self._files.items() if file.seekable()}

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
