"""What the board says of incidents is what the fold finds in its totals, told once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from engine.desk import Desk
from engine.duration import DAY_MS, HOUR_MS
from engine.errors import CorruptState, StoreUnavailable
from engine.event import Event
from engine.incident import INCIDENT_LANE, Incidents, IncidentSettings
from engine.outcome import Outcome
from engine.service_counts import BUCKET_MS, BUCKETS_A_DAY, KEPT_DAYS, Counted, ServiceCounts, Value
from streams.ledger import Binding
from streams.redis.board import RiskBoard
from streams.redis.board_writer import BoardMeta
from streams.redis.catalogue import INPUT_STALE_MS
from streams.redis.client import RedisClient
from streams.redis.incident_watch import IncidentWatch, incident_settings
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger
from streams.redis.verify import verify
from tests.streams.redis.samples import NOW, SETTINGS, no_sleep, position

DAY = BUCKETS_A_DAY
BEGIN = 19_700 * DAY
WIFI = ("category", "network/wifi")
NETWORK = ("category", "network")
PHONE = ("channel", "phone")
LANES = 2
RECORD = Keys().partition("events", 0)


class Site:
    """Two lanes of one partition, fed bucket by bucket."""

    def __init__(self, client: RedisClient) -> None:
        self.client = client
        meta = BoardMeta("2", "r1", LANES)
        binding = Binding.of("events", 0, lanes=LANES)
        self.ledger = RedisLedger(client, binding, meta, now_ms=lambda: NOW, sleep=no_sleep)
        self.token = self.ledger.claim()
        self.ledger.open(SETTINGS)
        self.lanes = [ServiceCounts(lane, HOUR_MS, lambda name: None) for lane in range(LANES)]
        self.n = 0
        self.totals: dict[int, dict[Value, int]] = {}
        self.batch: dict[int, int] = {}

    def bucket(self, number: int, wifi: int, *, lanes: Iterable[int] = range(LANES)) -> None:
        """Customers of one bucket, in turn of either lane; every lane's clock passes it."""
        at = (BEGIN + number) * BUCKET_MS
        for lane in lanes:
            clock = at + BUCKET_MS - 1
            self.lanes[lane].advance(clock)
            for who in range(lane, wifi, LANES):
                self.n += 1
                event = Event(f"e{self.n}", f"c{who}", at, "request", category="network/wifi", channel="phone")
                self.lanes[lane].take(Counted(), event, clock)
            self.batch[lane] = clock
        if wifi:
            self.totals[BEGIN + number] = dict.fromkeys((WIFI, NETWORK, PHONE), wifi)

    def commit(self, clocks: Mapping[int, int] | None = None) -> None:
        """One transaction; clocks other than those of the buckets on request."""
        outcomes = []
        for lane, clock in (self.batch if clocks is None else clocks).items():
            counts = self.lanes[lane]
            counts.advance(clock)
            made = Outcome(lane, b"lane", clock, models=counts.snapshots(), service_rows=counts.take_rows())
            outcomes.append(made)
        self.batch = {}
        self.n += 1
        self.ledger.commit(outcomes, position(self.n))

    def watch(self, client: RedisClient | None = None, **more: Any) -> Callable[[bool], list[Any]]:
        made = IncidentWatch(client or self.client, Keys(), lanes=LANES, settle_ms=HOUR_MS, **more)
        return lambda complete: made.look(self.token, RECORD, complete=complete)

    def usual(self, n_days: int = 8) -> int:
        """Days with two customers a bucket; the number of the next bucket."""
        for number in range(n_days * DAY):
            self.bucket(number, 2)
        self.commit()
        return n_days * DAY


def stream(client: RedisClient) -> list[dict[str, str]]:
    entries = client.execute_command("XRANGE", Keys().alerts, "-", "+")
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]


def outage(site: Site, *, n: int = 12, hours_after: int = 4) -> None:
    """A week as usual, an outage of three hours, and then some."""
    begin = site.usual()
    for number in range(begin, begin + n + 4 * hours_after):
        site.bucket(number, 40 if number < begin + n else 2)
        site.commit()


def expected(site: Site, until: int, settings: IncidentSettings | None = None) -> list[bytes]:
    incidents = Incidents(settings or IncidentSettings())
    out = [m for b in range(BEGIN, until) for m in incidents.take(b, site.totals.get(b, {}))]
    return [m.line() for m in out]


def test_an_outage_is_on_stream_board_and_queue(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    begin = site.usual()
    for number in range(begin, begin + 8):
        site.bucket(number, 40)
    site.commit()
    desk = Desk.parse('version = 1\n[owners]\nnetwork = "team:net"\nphone = "team:line"\n', "desk.toml")
    watch = site.watch(settings=incident_settings(desk), owner=desk.owner)
    told = watch(False)
    # The channel shows it too; what is above the category is explained by it.
    assert [m.incident.value for m in told if m.op == "raise"] == ["network/wifi", "phone"]
    sent = stream(redis_client)
    assert [each["line"].encode() for each in sent] == [m.line() for m in told]
    assert [(each["lane"], each["route"], each["priority"]) for each in sent[:2]] == [
        (str(INCIDENT_LANE), "team:net", "1"),
        (str(INCIDENT_LANE), "team:line", "1"),
    ]
    assert [int(each["seq"]) for each in sent] == list(range(1, len(sent) + 1))
    wifi = told[0].incident.alert_id
    board = RiskBoard(redis_client)
    state = board.alert(wifi)
    assert state is not None
    assert (state.flag, state.category, state.customer_id, state.lane) == ("service_incident", "network/wifi", "", -1)
    assert (state.since, state.closed_at) == ((BEGIN + begin) * BUCKET_MS, None)
    rows = board.queue("open", NOW).rows
    assert [(row.alert.alert_id, row.standing) for row in rows if row.alert.alert_id == wifi] == [(wifi, "incident")]
    assert verify(redis_client) == []


def test_an_incident_that_is_over_leaves_the_queue(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    outage(site)
    told = site.watch()(False)
    assert [m.op for m in told if m.incident.value == "phone"] == ["raise", *["update"] * 3, "clear"]
    assert redis_client.execute_command("ZCARD", Keys().queue("open")) == 0
    state = RiskBoard(redis_client).alert(told[0].incident.alert_id)
    assert state is not None
    assert state.closed_at == state.until == told[-1].at
    assert verify(redis_client) == []


def test_nothing_is_told_before_every_lane_has_passed_by_what_it_takes_to_settle(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    begin = site.usual()
    site.bucket(begin, 40)
    site.commit()
    watch = site.watch()
    end = (BEGIN + begin + 1) * BUCKET_MS
    for lane, clock in ((0, end + DAY_MS), (1, end + HOUR_MS - 1)):
        site.commit({lane: clock})
        assert watch(False) == []
    site.commit({1: end + HOUR_MS})
    assert [m.op for m in watch(False)] == ["raise", "raise"]


def test_a_lane_without_a_clock_holds_up_until_its_worker_says_that_it_is_read(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    for number in range(8 * DAY):
        site.bucket(number, 2, lanes=[0])
    site.bucket(8 * DAY, 80, lanes=[0])
    site.commit()
    site.commit({0: (BEGIN + 8 * DAY + 5) * BUCKET_MS})
    watch = site.watch(now_ms=lambda: NOW)
    assert watch(False) == []
    meta = Keys().meta
    for said in (("input:1", "stale", "input_at:1", NOW), ("input:1", "fresh", "input_at:1", NOW - INPUT_STALE_MS - 1)):
        redis_client.execute_command("HSET", meta, *said)
        assert watch(False) == []
    redis_client.execute_command("HSET", meta, "input_at:1", NOW)
    assert [m.op for m in watch(False)] == ["raise", "raise"]


def test_at_the_end_of_the_input_no_lane_holds_anything_up(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    for number in range(8 * DAY + 1):
        site.bucket(number, 2 if number < 8 * DAY else 80, lanes=[0])
    site.commit()
    site.commit({0: (BEGIN + 8 * DAY + 1) * BUCKET_MS})
    watch = site.watch()
    assert watch(False) == []
    assert [m.op for m in watch(True)] == ["raise", "raise"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_when_it_is_looked_and_by_whom_changes_nothing(redis_client: RedisClient, seed: int) -> None:
    site, rng = Site(redis_client), random.Random(seed)
    watch = site.watch()
    outages = {rng.randrange(7 * DAY, 11 * DAY): rng.randrange(1, 30) for _ in range(3)}
    for number in range(11 * DAY):
        hit = any(begin <= number < begin + length for begin, length in outages.items())
        site.bucket(number, rng.randrange(4) + 30 * hit)
        if rng.random() < 0.02:
            site.commit()
            watch(False)
            if rng.random() < 0.3:
                watch = site.watch()
    site.commit()
    watch(True)
    lines = [each["line"].encode() for each in stream(redis_client)]
    assert lines == expected(site, BEGIN + 11 * DAY - 1)
    assert lines


class Dying:
    """A client whose process dies at the `n`-th command: before Redis hears of it, or before the answer is read."""

    def __init__(self, client: RedisClient, n: int, *, heard: bool) -> None:
        self._client, self._left, self._heard = client, n, heard
        self.used = 0

    def execute_command(self, *command: Any) -> Any:
        return self._do(lambda: self._client.execute_command(*command))

    def _do(self, call: Callable[[], Any]) -> Any:
        self.used += 1
        self._left -= 1
        if self._left == 0 and not self._heard:
            raise KeyboardInterrupt
        answer = call()
        if self._left == 0:
            raise KeyboardInterrupt
        return answer

    def pipeline(self, transaction: bool = True) -> Any:
        return _DyingPipeline(self, self._client.pipeline(transaction=transaction))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _DyingPipeline:
    def __init__(self, dying: Dying, pipe: Any) -> None:
        self._dying, self._pipe = dying, pipe

    def execute_command(self, *command: Any) -> Any:
        return self._dying._do(lambda: self._pipe.execute_command(*command))

    def execute(self, **options: Any) -> Any:
        return self._dying._do(lambda: self._pipe.execute(**options))

    def watch(self, *names: str) -> Any:
        return self._dying._do(lambda: self._pipe.watch(*names))

    @property
    def connection(self) -> Any:
        return _DyingConnection(self._dying, self._pipe.connection)

    @property
    def watching(self) -> bool:
        return bool(self._pipe.watching)

    @watching.setter
    def watching(self, value: bool) -> None:
        self._pipe.watching = value

    def reset(self) -> None:
        self._pipe.reset()


class _DyingConnection:
    def __init__(self, dying: Dying, connection: Any) -> None:
        self._dying, self._connection = dying, connection

    def send_packed_command(self, commands: Any) -> Any:
        return self._dying._do(lambda: self._connection.send_packed_command(commands))

    def read_response(self) -> Any:
        return self._dying._do(self._connection.read_response)

    def disconnect(self) -> None:
        self._connection.disconnect()


@pytest.mark.parametrize("heard", [False, True])
def test_a_crash_between_any_two_commands_repeats_no_alert(redis_client: RedisClient, heard: bool) -> None:
    site = Site(redis_client)
    outage(site, n=2, hours_after=2)
    until = BEGIN + 8 * DAY + 2 + 8 - 5
    n = 0
    while True:
        n += 1
        redis_client.execute_command("DEL", Keys().incidents, Keys().alerts)
        client = Dying(redis_client, n, heard=heard)
        watch = site.watch(client)
        try:
            watch(False)
        except KeyboardInterrupt:
            pass
        else:
            break
        site.watch()(False)
        watch(False)
        assert [each["line"].encode() for each in stream(redis_client)] == expected(site, until)
    assert n > 20


def test_who_lost_the_partition_tells_nothing(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    outage(site)
    watch = site.watch()
    site.ledger.claim()
    assert watch(False) == []
    assert stream(redis_client) == []
    assert redis_client.execute_command("EXISTS", Keys().incidents) == 0


def test_a_ledger_looks_under_its_own_ownership(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    outage(site)
    other = RedisLedger(redis_client, site.ledger.binding, BoardMeta("2", "r1", LANES))
    assert other.incidents(HOUR_MS, IncidentSettings(), lambda *_: "")(False) == []
    assert site.ledger.incidents(HOUR_MS, IncidentSettings(), lambda *_: "")(False)


def test_days_that_a_lane_may_have_removed_are_skipped_and_are_no_zeros(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    watch = site.watch()
    begin = site.usual()
    watch(False)
    far = (KEPT_DAYS + 20) * DAY
    # As many as now were usual all the time that nobody looked.
    for number in range(begin, far):
        site.bucket(number, 20)
    site.commit()
    assert [m for m in watch(False) if m.op == "raise"] == []
    for number in range(far, far + 5):
        site.bucket(number, 300)
    site.commit()
    raised = [m for m in watch(True) if m.op == "raise"]
    assert [(m.incident.value, round(m.incident.expected)) for m in raised] == [("network/wifi", 20), ("phone", 20)]


def test_a_reset_forgets_totals_and_incidents(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    outage(site, n=4, hours_after=1)
    told = site.watch()(False)
    assert [m.op for m in told] == ["raise", "raise"]
    site.ledger.reset()
    left = {key.decode() for key in redis_client.scan_iter(match="*")}
    assert left <= {Keys().meta, Keys().alerts, Keys().guidance}
    assert verify(redis_client) == []


def test_a_reset_of_another_partition_leaves_its_lanes_only(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    site.bucket(0, 10)
    site.commit()
    RedisLedger(redis_client, Binding.of("other", 1, partitions=2, lanes=LANES), BoardMeta("2", "r1", LANES)).reset()
    fields = redis_client.execute_command("HKEYS", Keys().service(*WIFI))
    assert [name.rpartition(b":")[2] for name in fields] == [b"0"]


def test_a_damaged_state_is_refused(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    outage(site)
    redis_client.execute_command("SET", Keys().incidents, b"nonsense")
    with pytest.raises(CorruptState, match="incidents"):
        site.watch()(False)


def test_a_redis_that_is_away_is_said_so(redis_client: RedisClient) -> None:
    site = Site(redis_client)

    class Away:
        def execute_command(self, *command: Any) -> Any:
            raise ConnectionRefusedError("away")

    with pytest.raises(StoreUnavailable):
        site.watch(Away())(False)  # type: ignore[arg-type]  # no more is asked of it


@pytest.mark.parametrize(
    ("rule", "key", "field", "value"),
    [
        ("bad_value", "service:category:a", "2024-02-30:0", "1:1,1,0"),
        ("bad_value", "service:category:a", "2024-02-20:x", "1:1,1,0"),
        ("bad_value", "service:category:a", "2024-02-20:0", "1:2,1,0"),
        ("bad_value", "service:category:a", "2024-02-20:0", "96:1,1,0"),
        ("unknown_field", "service:category:a", "n", "1"),
        ("too_large", "service:category:a", "2024-02-20:0", "1:1,1,0;" * 600),
        ("unknown_key", "service:agent:a", "2024-02-20:0", "1:1,1,0"),
        ("bad_id", "service:category:a{b", "2024-02-20:0", "1:1,1,0"),
    ],
)
def test_what_is_no_total_of_a_service_is_found(
    redis_client: RedisClient, rule: str, key: str, field: str, value: str
) -> None:
    Site(redis_client).usual(1)
    assert verify(redis_client) == []
    redis_client.execute_command("HSET", f"risk:{key}", field, value)
    assert rule in [violation.rule for violation in verify(redis_client)]


def test_totals_are_those_of_the_lanes(redis_client: RedisClient) -> None:
    site = Site(redis_client)
    site.bucket(5, 7)
    site.commit()
    views = {(view.dimension, view.value): view.fields for view in RiskBoard(redis_client).service()}
    assert views[WIFI] == {"2023-12-09:0": "5:4,4,0", "2023-12-09:1": "5:3,3,0"}
