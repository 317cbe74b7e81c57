"""Where a command finds ledger and board: a URL, an embedded Redis, or memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.desk import Desk
from engine.errors import ConfigurationError, UsageError
from engine.rules import RuleSet
from engine.settings import ENGINE_VERSION, ResultSettings
from streams.board_maker import board_maker
from streams.ledger import Binding, Ledger
from streams.memory_ledger import MemoryLedger
from streams.redis.access import RedisAccess
from streams.redis.board_writer import BoardMeta
from streams.redis.client import RedisClient, connect
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import BOARD_PREFIX, Keys
from streams.redis.ledger import RedisLedger
from streams.settings import Settings

__all__ = ["boards", "one_board", "open_redis", "redis_of", "replay_ledger"]


def redis_of(settings: Settings) -> RedisAccess | str:
    """Where the settings say that Redis is: how to reach it, or the word `embedded` or `none`.

    Raises
    ------
    UsageError
        If the settings of Redis do not go together.
    """
    url: str = settings["redis.url"]
    if url == "none" and settings["redis.sentinels"] and settings.origins["redis.url"] == "default":
        raise ConfigurationError(
            f"redis.sentinels ({settings.origins['redis.sentinels']}): expected redis.url with it, such as redis:///0 "
            "or rediss:///0, got none; give it"
        )
    return url if url in ("embedded", "none") else RedisAccess.of(settings)


@contextmanager
def open_redis(where: RedisAccess | str, directory: Path | None = None) -> Iterator[RedisClient]:
    """A client of a Redis, or of an embedded one that lives as long as the context.

    Parameters
    ----------
    where
        What `redis_of` gives: how to reach it, or `embedded`; also a URL.
    directory
        Where an embedded Redis keeps its data; a temporary place when `None`.
    """
    if where == "embedded":
        with EmbeddedRedis(directory) as server:
            client = server.client()
            try:
                yield client
            finally:
                client.close()
        return
    client = connect(where)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def replay_ledger(
    where: RedisAccess | str,
    run: str,
    settings: ResultSettings,
    rules: RuleSet,
    directory: Path | None,
    *,
    desk: Desk | None = None,
    since: int | None = None,
) -> Iterator[tuple[Ledger, str]]:
    """The ledger of a replay and the prefix of its keys (empty in memory).

    Parameters
    ----------
    where
        As for `open_redis`, or `none`.
    run
        Name of the run.
    settings, rules, desk
        What the lanes work under.
    directory
        Where an embedded Redis keeps its data.
    since
        Time of the first record, ms, where the log was cut there; the board says so.
    """
    binding = Binding.of("replay", 0, lanes=settings.lanes)
    if where == "none":
        yield MemoryLedger(binding), ""
        return
    keys = Keys.replay(run)
    with open_redis(where, directory) as client:
        desk = desk or Desk.default()
        meta = BoardMeta(
            ENGINE_VERSION,
            rules.version,
            settings.lanes,
            {} if since is None else {"since": str(since)},
            desk=desk.version,
            guidance=desk.texts(),
            waiting_ms=desk.waiting_ms,
        )
        yield RedisLedger(client, binding, meta, keys=keys, board_of=board_maker(settings, rules)), keys.prefix


def boards(client: RedisClient) -> list[str]:
    """Prefixes of the boards in a Redis, the live one first."""
    found = set()
    for pattern in (f"{BOARD_PREFIX}meta", "replay:*:meta"):
        for key in client.scan_iter(match=pattern, count=1000):
            found.add(key.decode().removesuffix("meta"))
    return sorted(found, key=lambda prefix: (prefix != BOARD_PREFIX, prefix))


def one_board(client: RedisClient, prefix: str | None) -> str:
    """The prefix that was asked for, else that of the only board there is.

    Raises
    ------
    UsageError
        If there is none, or several and none was named.
    """
    if prefix is not None:
        return Keys(prefix).prefix
    found = boards(client)
    if found and (found[0] == BOARD_PREFIX or len(found) == 1):
        return found[0]
    if not found:
        raise UsageError("--prefix: expected a board in this Redis, got none; run `henji replay LOG --redis URL` first")
    raise UsageError(f"--prefix: expected one of {', '.join(found)}, got nothing; name the board to look at")
