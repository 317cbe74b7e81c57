"""Asks a health endpoint and says yes or no by its exit code: for containers, whose images have no HTTP client.

`python -m streams.live.probe http://127.0.0.1:6067/live`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

__all__ = ["TIMEOUT_S", "main"]

TIMEOUT_S = 3.0
"""A loop that does not answer for so long hangs."""


def main(arguments: Sequence[str]) -> int:
    """Ask; the answer goes to standard output, where `docker inspect` shows it.

    Parameters
    ----------
    arguments
        One URL, `http://HOST:PORT/PATH`.

    Returns
    -------
    int
        0 for an answer of 200, 1 for any other or none, 2 for wrong use.
    """
    if len(arguments) != 1 or not arguments[0].startswith("http://"):
        print("probe: expected one URL that begins with http://")
        return 2
    try:
        # Never through a proxy that the environment names: the address is our own.
        with build_opener(ProxyHandler({})).open(arguments[0], timeout=TIMEOUT_S) as answer:
            print(answer.read(1_000).decode(errors="replace"))
            return 0 if answer.status == 200 else 1
    except HTTPError as error:
        with error:
            print(error.read(1_000).decode(errors="replace"))
        return 1
    except (OSError, HTTPException, ValueError) as error:
        print(f"probe: expected an answer, got {type(error).__name__}: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
