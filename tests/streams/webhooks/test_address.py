from __future__ import annotations

import socket

import pytest

from streams.webhooks.address import AddressRefused, guarded_socket, refusal

ALWAYS = [
    *("0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1"),
    *("fe80::1", "fe80::1%eth0", "fec0::1", "100::1", "2001:db8::1", "::ffff:169.254.169.254", "::7f00:1"),
    *("64:ff9b::169.254.169.254", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "::ffff:0.0.0.0"),
]
PRIVATE = [
    *("127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "::1"),
    *("fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1"),
    "2002:7f00:1::1",
]
PUBLIC = [
    "8.8.8.8",
    "172.32.0.1",
    "192.167.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", ALWAYS)
def test_some_addresses_are_refused_whatever_is_allowed(address: str) -> None:
    assert refusal(address, allow_private=True)
    assert refusal(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused_unless_allowed(address: str) -> None:
    assert refusal(address)
    assert refusal(address, allow_private=True) == ""


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_let_through(address: str) -> None:
    assert refusal(address) == ""


def test_no_socket_is_made_for_an_address_that_is_refused() -> None:
    make = guarded_socket(allow_private=False)
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 443))
    with pytest.raises(AddressRefused, match=r"10\.1\.2\.3 is a private address; allow_private = true lets it"):
        make(info)
    guarded_socket(allow_private=True)(info).close()
