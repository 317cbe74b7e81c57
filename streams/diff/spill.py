"""Sorting more lines than memory holds."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import IO

__all__ = ["SPILL_BYTES", "by_customer"]

SPILL_BYTES = 64 * 1024 * 1024
"""How much of the lines is held in memory before it goes to a temporary file, bytes."""

_WIDTH = 12  # digits of a position; a thousand billion lines


def by_customer(lines: Iterable[tuple[str, bytes]], *, memory: int = SPILL_BYTES) -> Iterator[tuple[str, bytes]]:
    """Lines in the order of their customers, by UTF-8; those of one customer as they came.

    Parameters
    ----------
    lines
        Customer id, and a line without newlines.
    memory
        Bytes that are held before a temporary file is used.

    Examples
    --------
    >>> list(by_customer([("b", b"1"), ("a", b"2"), ("b", b"3")], memory=1))
    [('a', b'2'), ('b', b'1'), ('b', b'3')]
    """
    with ExitStack() as stack:
        runs: list[IO[bytes]] = []
        held: list[bytes] = []
        size = 0
        for position, (customer_id, line) in enumerate(lines):
            # In hex, ids sort as their UTF-8 does and hold no separator.
            held.append(b"%b %0*d %b\n" % (customer_id.encode().hex().encode(), _WIDTH, position, line))
            size += len(held[-1])
            if size >= memory:
                runs.append(stack.enter_context(_run(held)))
                held, size = [], 0
        held.sort()
        for entry in heapq.merge(*runs, held):
            head, _, line = entry[:-1].split(b" ", 2)
            yield bytes.fromhex(head.decode()).decode(), line


def _run(held: list[bytes]) -> IO[bytes]:
    file = tempfile.TemporaryFile(buffering=1 << 18)  # noqa: SIM115 # the caller closes it
    held.sort()
    file.writelines(held)
    file.seek(0)
    return file
