"""The hash that decides in which lane a customer lives.

The same function as the default partitioner of Kafka's Java client and of aiokafka, so that a partition carries whole
lanes. librdkafka hashes with CRC32 unless told otherwise (`partitioner=murmur2_random`).
"""

from __future__ import annotations

import struct
from functools import lru_cache

__all__ = ["lane_of", "murmur2"]

# Constants of Austin Appleby's MurmurHash2 and the seed of org.apache.kafka.common.utils.Utils.murmur2.
_SEED = 0x9747B28C
_M = 0x5BD1E995
_R = 24
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Hash bytes as Kafka's Java client does.

    Parameters
    ----------
    data
        The key of a record.

    Returns
    -------
    int
        A signed 32-bit number, as Java returns it.

    Examples
    --------
    >>> murmur2(b"foobar")
    -790332482

    References
    ----------
    org.apache.kafka.common.utils.Utils.murmur2 of Apache Kafka; its UtilsTest has the vectors.
    """
    length = len(data)
    whole = length >> 2
    h = _SEED ^ length
    for word in struct.unpack_from(f"<{whole}I", data):
        k = word * _M & _MASK
        k = (k ^ (k >> _R)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    rest = data[whole << 2 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    h ^= h >> 15
    return h - 0x100000000 if h & 0x80000000 else h


# 65,536 ids are some 10 MB and hold the busy customers of a partition; a miss costs about 2 us.
@lru_cache(maxsize=65_536)
def lane_of(customer_id: str, lanes: int) -> int:
    """Lane of a customer: the positive murmur2 of the UTF-8 id, modulo the number of lanes.

    Parameters
    ----------
    customer_id
        As the events carry it; no folding.
    lanes
        Number of lanes of the deployment, >= 1.

    Returns
    -------
    int
        0 <= lane < lanes.

    Raises
    ------
    ValueError
        When `lanes` is not positive.

    Examples
    --------
    >>> lane_of("c1", 8) == (murmur2(b"c1") & 0x7FFFFFFF) % 8
    True
    """
    if lanes < 1:
        raise ValueError(f"lanes: expected an integer >= 1, got {lanes}")
    # `& 0x7fffffff` is Kafka's toPositive; abs() would differ for every negative hash.
    return (murmur2(customer_id.encode()) & 0x7FFFFFFF) % lanes
