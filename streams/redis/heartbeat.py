"""What a worker says of its input every few seconds, whether there are events or not."""

from __future__ import annotations

from collections.abc import Mapping

from redis.exceptions import WatchError

from streams.redis.catalogue import INPUT_STATES
from streams.redis.client import RedisClient, RedisPipeline, talking
from streams.redis.keys import Keys

__all__ = ["ATTEMPTS", "Heartbeat"]

ATTEMPTS = 5
"""A commit between our look and our write makes us look again; after so many, the next heartbeat is soon."""


class Heartbeat:
    """Writes `input:<lane>`, `input_at:<lane>`, `lag:<lane>` and `last_event_at:<lane>` of the board's `meta`.

    Guarded as the ledger is: whoever lost the partition writes nothing. Nor does anybody where there is no board yet,
    which begins with the first batch: until then every lane is unknown all the same.

    Parameters
    ----------
    client
        From `client.connect`, not used by another thread meanwhile; it is not closed.
    keys
        Names of the keys.

    Examples
    --------
    >>> from streams.redis.embedded import EmbeddedRedis
    >>> with EmbeddedRedis() as server:
    ...     client = server.client()
    ...     print(Heartbeat(client, Keys()).say("1:ab", "henji:{0}:partition:events:0", {0: "fresh"}, {0: 5}, 9))
    ...     client.close()
    False
    """

    def __init__(self, client: RedisClient, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    def say(
        self,
        owner_token: str,
        partition_key: str,
        states: Mapping[int, str],
        last_event_at: Mapping[int, int],
        now_ms: int,
        *,
        lag: int | None = None,
    ) -> bool:
        """Say how the lanes of one partition stand; blocks for an answer of Redis.

        Parameters
        ----------
        owner_token
            What `RedisLedger.claim` gave.
        partition_key
            Of the partition record, `Keys.partition(topic, partition)`.
        states
            Lane -> `fresh`, `stale` or `unknown`.
        last_event_at
            Lane -> when the newest applied record that is no tick was appended, ms; without a lane that never had one.
        now_ms
            Wall clock, ms.
        lag
            Records of the partition that are not applied yet, where that is known.

        Returns
        -------
        bool
            Whether it was written; not when the partition is another's, there is no board, or the partition record
            was written meanwhile, again and again.

        Raises
        ------
        ValueError
            If a state is none of these.
        StoreUnavailable
            If Redis does not answer.
        """
        fields: dict[str, str] = {}
        for lane, state in states.items():
            if state not in INPUT_STATES:
                raise ValueError(f"states: expected one of {', '.join(INPUT_STATES)}, got {state!r} for lane {lane}")
            fields |= {f"input:{lane}": state, f"input_at:{lane}": str(now_ms)}
        fields |= {f"last_event_at:{lane}": str(at) for lane, at in last_event_at.items()}
        if lag is not None:
            fields |= {f"lag:{lane}": str(lag) for lane in states}
        with talking(f"heartbeat ({partition_key})"):
            for _ in range(ATTEMPTS):
                try:
                    return self._attempt(owner_token, partition_key, fields)
                except WatchError:
                    continue
        return False

    def _attempt(self, owner_token: str, partition_key: str, fields: Mapping[str, str]) -> bool:
        pipe: RedisPipeline = self._client.pipeline()
        try:
            pipe.watch(partition_key)
            owner: bytes | None = pipe.execute_command("HGET", partition_key, "owner")
            if not fields or not owner_token or owner != owner_token.encode():
                return False
            if not pipe.execute_command("HEXISTS", self._keys.meta, "contract"):
                return False
            pipe.multi()
            pipe.execute_command("HSET", self._keys.meta, *(part for pair in fields.items() for part in pair))
            pipe.execute()
            return True
        finally:
            pipe.reset()
