"""Which addresses a webhook may be sent to: decided by the address that is connected to, never by its name."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeAlias

__all__ = ["AddressRefused", "guarded_socket", "refusal"]

AddrInfo: TypeAlias = tuple[Any, Any, int, str, tuple[Any, ...]]
"""What `getaddrinfo` gives of one address."""

_SHARED = IPv4Network("100.64.0.0/10")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_UNIQUE_LOCAL = IPv6Network("fc00::/7")
# IPv4 in the last 32 bits: a gateway takes the packet to that address (RFC 6052, RFC 8215).
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


class AddressRefused(OSError):
    """The address is of a kind that webhooks do not go to."""


def refusal(text: str, *, allow_private: bool = False) -> str:
    """Why nothing is sent to an address; empty when it may be.

    Link-local addresses (with the metadata services of clouds), multicast, reserved and unspecified ones are refused
    always. An IPv6 address that carries an IPv4 one is judged by both.

    Parameters
    ----------
    text
        An IP address, perhaps with a zone (`fe80::1%eth0`).
    allow_private
        Whether loopback, private, shared and unique local addresses are let through.

    Raises
    ------
    ValueError
        If it is no IP address.

    Examples
    --------
    >>> refusal("203.0.114.7"), refusal("10.0.0.1"), refusal("10.0.0.1", allow_private=True)
    ('', 'a private address', '')
    >>> refusal("::ffff:127.0.0.1"), refusal("169.254.169.254", allow_private=True)
    ('a loopback address', 'a link-local address')
    """
    address = ip_address(text)
    for each in (address, *_carried(address)):
        why = _refusal(each, allow_private)
        if why:
            return why
    return ""


def guarded_socket(*, allow_private: bool) -> Callable[[AddrInfo], socket.socket]:
    """What makes the socket for a connection, once the address is known, and refuses those that `refusal` refuses.

    A name is resolved once for each connection and the socket is connected to that very address, so that a name which
    leads elsewhere at the next look-up gains nothing.

    Raises
    ------
    AddressRefused
        From the function that is returned.
    """

    def make(info: AddrInfo) -> socket.socket:
        family, kind, protocol, _, where = info
        why = refusal(str(where[0]), allow_private=allow_private)
        if why:
            more = "; allow_private = true lets it" if not refusal(str(where[0]), allow_private=True) else ""
            raise AddressRefused(errno.EACCES, f"refused: {where[0]} is {why}{more}")
        return socket.socket(family, kind, protocol)

    return make


def _carried(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, IPv4Address):
        return []
    carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in _TRANSLATED):
        carried.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return [each for each in carried if each is not None]


def _refusal(address: IPv4Address | IPv6Address, allow_private: bool) -> str:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return ""  # judged by the IPv4 address
    if address.is_unspecified or (isinstance(address, IPv4Address) and address in IPv4Network("0.0.0.0/8")):
        return "no address of one machine"
    if address.is_multicast:
        return "a multicast address"
    if address.is_link_local or (isinstance(address, IPv6Address) and address.is_site_local):
        return "a link-local address"
    if address.is_loopback:
        return "" if allow_private else "a loopback address"
    if isinstance(address, IPv4Address):
        if address.is_reserved or address == IPv4Address("255.255.255.255"):
            return "a reserved address"
        private = address.is_private or address in _SHARED
    else:
        private = address in _UNIQUE_LOCAL
        if not private and any(address in network for network in _TRANSLATED):
            return ""  # judged by the IPv4 address
        if not private and (address not in _GLOBAL_UNICAST or address.is_private):
            return "a reserved address"
    return "" if allow_private or not private else "a private address"
