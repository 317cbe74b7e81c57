"""Proves a board's contract: every key's type, fields, sizes and TTL, and that its keys agree with each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from engine.service_counts import DIMENSIONS
from streams.redis.catalogue import INDEXES, QUEUES, KeySpec, board_key
from streams.redis.client import Command, RedisClient, RedisPipeline, talking
from streams.redis.key_checks import Violation, check_fields, check_items, check_ttl
from streams.redis.keys import CUSTOMER_PARTS, Keys, decode_id

__all__ = ["verify"]

_PAGE = 200
_ALERTS_CHECKED = 1_000
_READ = {"hash": ("HGETALL",), "list": ("LRANGE", 0, -1)}
_Item = TypeVar("_Item")


def verify(client: RedisClient, prefix: str = "risk:") -> list[Violation]:
    """Every way in which the board under a prefix breaks its contract; none is an empty list.

    Reads the whole board in pages, and of the alert stream the newest 1,000. Keys of one customer are read in one
    transaction each page, so a worker that writes meanwhile makes no false finding but in the two counts at the end.

    Raises
    ------
    StoreUnavailable
        If Redis does not answer.

    Examples
    --------
    >>> from streams.redis.embedded import EmbeddedRedis
    >>> with EmbeddedRedis() as server:
    ...     client = server.client()
    ...     _ = client.execute_command("HSET", "risk:customer:c1", "flags_up", "0", "lane", "1", "as_of", "7")
    ...     rules = [violation.rule for violation in verify(client)]
    ...     client.close()
    >>> rules
    ['missing_ttl', 'missing_key']
    """
    scan = _Scan(client, Keys(prefix))
    with talking(f"verify {prefix}"):
        scan.keys()
        for name in INDEXES:
            scan.index(name)
        for name in QUEUES:
            scan.queue(name)
        scan.alerts()
        scan.whole()
    # SCAN may tell a key twice.
    return list(dict.fromkeys(scan.found))


class _Scan:
    def __init__(self, client: RedisClient, keys: Keys) -> None:
        self.found: list[Violation] = []
        self._client = client
        self._keys = keys
        self._customers: set[str] = set()
        self._types: dict[str, str] = {}
        self._lanes = self._ledger_lanes()

    def keys(self) -> None:
        for page in _pages(self._client.scan_iter(match=f"{self._keys.prefix}*", count=1000), _PAGE):
            names = []
            for raw in page:
                try:
                    names.append(raw.decode())
                except UnicodeDecodeError:
                    self._add(raw.decode(errors="backslashreplace"), "unknown_key", "keys of text only", "bytes")
            # Under another prefix than the live one, the ledger's keys begin with it too.
            self._page([key for key in names if not key.removeprefix(self._keys.prefix).startswith("henji:{")])

    def index(self, name: str) -> None:
        key = self._keys.index(name)
        if self._types.get(key) != "zset":
            return
        for page in _pages(self._client.zscan_iter(key, count=_PAGE), _PAGE):
            members = [member.decode(errors="backslashreplace") for member, _ in page]
            said = self._ask([("HMGET", f"{self._keys.prefix}customer:{m}", "lane", "sensitive") for m in members])
            for member, answer in zip(members, said, strict=True):
                if isinstance(answer, Exception) or answer[0] is None:
                    self._add(key, "orphan_index", "members with a customer hash", member[:80])
                elif name == "sensitive" and answer[1] != b"1":
                    self._add(key, "orphan_index", "members whose hash says sensitive = 1", member[:80])

    def queue(self, name: str) -> None:
        key = self._keys.queue(name)
        if self._types.get(key) != "zset":
            return
        for page in _pages(self._client.zscan_iter(key, count=_PAGE), _PAGE):
            members = [member.decode(errors="backslashreplace") for member, _ in page]
            said = self._ask([("HMGET", self._keys.alert(m), "held", "closed_at") for m in members])
            for member, answer in zip(members, said, strict=True):
                if isinstance(answer, Exception) or answer[0] is None:
                    self._add(key, "orphan_index", "members with an alert hash", member[:80])
                elif answer[1] is not None or bool(answer[0]) != (name == "held"):
                    self._add(key, "orphan_index", f"alerts whose hash says that they are {name}", member[:80])

    def alerts(self) -> None:
        for name, key in (("alerts", self._keys.alerts), ("facts", self._keys.facts)):
            if self._types.get(key) != "stream":
                continue
            spec = _spec(name)
            (entries,) = self._ask([("XREVRANGE", key, "+", "-", "COUNT", _ALERTS_CHECKED)])
            for _, fields in entries:
                self.found += check_fields(key, spec, fields)

    def whole(self) -> None:
        if self._types and self._keys.meta not in self._types:
            self._add(self._keys.meta, "missing_key", "the facts about this board", "none")
        if self._lanes:
            known = sum(self._ask([("HLEN", self._keys.lane_customers(lane)) for lane in self._lanes]))
            if known != len(self._customers):
                self._add(
                    f"{self._keys.prefix}customer:*",
                    "memory_count",
                    f"as many customers as the ledger has ({known})",
                    str(len(self._customers)),
                )

    def _page(self, page: Sequence[str]) -> None:
        answers = self._ask([command for key in page for command in (("TYPE", key), ("TTL", key))])
        wholesome: list[tuple[str, KeySpec]] = []
        for key, kind, ttl_s in zip(page, answers[::2], answers[1::2], strict=True):
            if kind == b"none":  # gone since SCAN
                continue
            self._types[key] = kind.decode()
            spec = self._spec_of(key)
            if spec is None:
                continue
            if spec.type != kind.decode():
                self._add(key, "wrong_type", spec.type, kind.decode())
                continue
            self.found += check_ttl(key, spec, ttl_s)
            if spec.type in _READ:
                wholesome.append((key, spec))
        self._contents(wholesome)

    def _contents(self, page: Sequence[tuple[str, KeySpec]]) -> None:
        answers = self._ask([(_READ[spec.type][0], key, *_READ[spec.type][1:]) for key, spec in page])
        for (key, spec), content in zip(page, answers, strict=True):
            if isinstance(content, Exception) or not content:  # changed since TYPE
                continue
            if spec.type == "list":
                self.found += check_items(key, spec, content)
            else:
                self.found += check_fields(key, spec, content)
        self._customers_of([key for key, spec in page if spec.name == "customer"])
        self._parts_of([key for key, spec in page if spec.name in CUSTOMER_PARTS and spec.name != "customer"])

    def _customers_of(self, keys: Sequence[str]) -> None:
        prefix = self._keys.prefix
        members = [key.removeprefix(f"{prefix}customer:") for key in keys]
        self._customers.update(members)
        commands: list[Command] = []
        for key, member in zip(keys, members, strict=True):
            commands += [
                ("HMGET", key, "flags_up", "churn", "sensitive", "lane", "stage"),
                ("HLEN", f"{prefix}flags:{member}"),
                ("ZSCORE", self._keys.index("churn"), member),
                ("ZSCORE", self._keys.index("sensitive"), member),
            ]
        answers = self._ask(commands)
        for place, (key, member) in enumerate(zip(keys, members, strict=True)):
            hashed, n_flags, churn, sensitive = answers[4 * place : 4 * place + 4]
            if isinstance(hashed, Exception) or hashed[3] is None:
                continue
            if isinstance(n_flags, int) and hashed[0] is not None and hashed[0] != str(n_flags).encode():
                self._add(key, "flags_up", f"{n_flags}, the fields of its flags", hashed[0].decode(errors="replace"))
            if hashed[1] is not None and hashed[4] != b"lapsed" and churn is None:
                expected = "every customer with churn who has not lapsed"
                self._add(self._keys.index("churn"), "missing_index", expected, f"not {member[:80]}")
            if hashed[2] == b"1" and sensitive is None:
                self._add(
                    self._keys.index("sensitive"), "missing_index", "every sensitive customer", f"not {member[:80]}"
                )
        self._memories(
            [(key, member, answers[4 * place]) for place, (key, member) in enumerate(zip(keys, members, strict=True))]
        )

    def _memories(self, customers: Sequence[tuple[str, str, Any]]) -> None:
        if not self._lanes:
            return
        asked = []
        for key, member, hashed in customers:
            lane = None if isinstance(hashed, Exception) else hashed[3]
            if lane is not None and lane.isdigit():
                asked.append((key, int(lane), _decoded(member)))
        answers = self._ask([("HEXISTS", self._keys.lane_customers(lane), who) for _, lane, who in asked])
        for (key, lane, _), known in zip(asked, answers, strict=True):
            if not known:
                self._add(key, "no_memory", f"a memory in lane {lane} of the ledger", "none")

    def _parts_of(self, keys: Sequence[str]) -> None:
        owners = [key.removeprefix(self._keys.prefix).partition(":")[2] for key in keys]
        commands: list[Command] = []
        for key, owner in zip(keys, owners, strict=True):
            commands += [("EXISTS", key), ("EXISTS", f"{self._keys.prefix}customer:{owner}")]
        answers = self._ask(commands)
        for key, there, owned in zip(keys, answers[::2], answers[1::2], strict=True):
            if there and not owned:
                self._add(key, "orphan", "a customer hash of the same id", "none")

    def _spec_of(self, key: str) -> KeySpec | None:
        found = board_key(key.removeprefix(self._keys.prefix))
        if found is None or found[1] not in {"index": INDEXES, "queue": QUEUES}.get(found[0].name, (found[1],)):
            self._add(key, "unknown_key", "keys of the catalogue only", "another")
            return None
        spec, rest = found
        if spec.name in CUSTOMER_PARTS:
            try:
                decode_id(rest)
            except ValueError as error:
                self._add(key, "bad_id", "an encoded customer id", str(error))
        elif spec.name == "service":
            dimension, _, value = rest.partition(":")
            try:
                decode_id(value)
            except ValueError as error:
                self._add(key, "bad_id", "an encoded value", str(error))
            if dimension not in DIMENSIONS or not value:
                self._add(key, "unknown_key", f"services by {', '.join(DIMENSIONS)}", "others")
        return spec

    def _ledger_lanes(self) -> list[int]:
        # A board may be copied to a Redis without the ledger; then there is nothing to compare.
        (raw,) = self._ask([("HGET", self._keys.meta, "lanes")])
        lanes = range(int(raw)) if isinstance(raw, bytes) and raw.isdigit() and int(raw) <= 65_536 else range(0)
        there = self._ask([("EXISTS", self._keys.lane_record(lane)) for lane in lanes])
        return [lane for lane, exists in zip(lanes, there, strict=True) if exists]

    def _add(self, key: str, rule: str, expected: str, got: str) -> None:
        self.found.append(Violation(key, rule, expected, got))

    def _ask(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        pipe: RedisPipeline = self._client.pipeline(transaction=True)
        for command in commands:
            pipe.execute_command(*command)
        return pipe.execute(raise_on_error=False)


def _spec(name: str) -> KeySpec:
    found = board_key(name)
    assert found is not None
    return found[0]


def _decoded(member: str) -> str:
    try:
        return decode_id(member)
    except ValueError:
        return member


def _pages(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while page := list(islice(rest, size)):
        yield page
