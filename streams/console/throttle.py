"""Attempts to prove who one is: so many in a while for an account, and for an address."""

from __future__ import annotations

import hashlib
import ipaddress

from streams.console.clock import MINUTE_MS, Clock
from streams.console.file import ConsoleFile
from streams.console.problem import Problem

__all__ = ["PER_ACCOUNT", "PER_ADDRESS", "WINDOW_MS", "Throttle"]

WINDOW_MS = 15 * MINUTE_MS
"""How long an attempt that failed counts."""

PER_ACCOUNT = 10
"""Failed attempts for one account within the window, after which it has to wait."""

PER_ADDRESS = 40
"""The same from one address: several people may sit behind it."""


class Throttle:
    """Counts attempts before they are looked at, so that a hundred at once are no way around it.

    Parameters
    ----------
    file
        The console's file: a restart forgives nothing.
    now_ms
        Wall clock.
    """

    def __init__(self, file: ConsoleFile, now_ms: Clock) -> None:
        self._file = file
        self._now_ms = now_ms

    def take(self, name: str, address: str) -> list[str]:
        """Count an attempt; returns what `give_back` takes when it turns out good.

        Raises
        ------
        Problem
            `too_many`, with `Retry-After`.
        """
        now = self._now_ms()
        # Names only as hashes: what is typed as a name is now and then a password.
        account = "account:" + hashlib.sha256(name.casefold().encode("utf-8", "replace")).hexdigest()[:32]
        keys = {account: PER_ACCOUNT, f"address:{_network(address)}": PER_ADDRESS}
        with self._file.together():
            self._file.write("DELETE FROM attempts WHERE at <= ?", (now - WINDOW_MS,))
            for key, most in keys.items():
                rows = self._file.rows("SELECT at FROM attempts WHERE key = ? ORDER BY at DESC LIMIT ?", (key, most))
                if len(rows) >= most:
                    wait_s = -(-(rows[-1]["at"] + WINDOW_MS - now) // 1000)
                    raise Problem(
                        "too_many",
                        f"expected at most {most} failed attempts in {WINDOW_MS // MINUTE_MS} minutes, got more; "
                        f"wait {wait_s} s",
                        headers={"Retry-After": str(max(1, wait_s))},
                    )
            for key in keys:
                self._file.write("INSERT INTO attempts (key, at) VALUES (?, ?)", (key, now))
        return list(keys)

    def give_back(self, keys: list[str]) -> None:
        """The attempt was good: it does not count, and of the account no former one does either."""
        account, address = keys
        self._file.write("DELETE FROM attempts WHERE key = ?", (account,))
        self._file.write("DELETE FROM attempts WHERE id = (SELECT max(id) FROM attempts WHERE key = ?)", (address,))

    def forget(self, keys: list[str]) -> None:
        """The attempt was neither good nor bad: it does not count, and what counted before goes on to."""
        for key in keys:
            self._file.write("DELETE FROM attempts WHERE id = (SELECT max(id) FROM attempts WHERE key = ?)", (key,))


def _network(address: str) -> str:
    """What one customer of a provider has: an IPv4 address, or the first half of an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return str(ip)
