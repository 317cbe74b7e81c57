"""Whether the topics are as they should be: pure rules over what the brokers tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from engine.duration import DAY_MS, format_duration
from streams.kafka.dead_letter import MAX_LETTER_BYTES, MAX_RAW_BYTES
from streams.kafka.layout import EVENTS_MAX_BYTES, Layout, Topic

__all__ = ["Described", "Finding", "count", "judge"]

# Room for headers and framing around a record, as in dead_letter.MAX_RAW_BYTES.
_LETTER_FRAME_BYTES = MAX_LETTER_BYTES - MAX_RAW_BYTES
# Below a day a worker that is down over night loses events.
_LEAST_RETENTION_MS = DAY_MS


class Finding(NamedTuple):
    """One thing looked at.

    Parameters
    ----------
    level
        `ok`, `warning` or `error`.
    what, told
        What was looked at, and what was found and what to do.
    """

    level: str
    what: str
    told: str


class Described(NamedTuple):
    """A topic as it is.

    Parameters
    ----------
    partitions
        How many.
    replication
        Copies of the partition that has the fewest.
    lagging, leaderless
        Partitions with a copy that is behind, and without a leader.
    config
        What the broker tells; a key that is absent is unknown.
    """

    partitions: int
    replication: int
    lagging: int
    leaderless: int
    config: Mapping[str, str]


def judge(layout: Layout, found: Mapping[str, Described], *, strict: bool = False) -> list[Finding]:
    """What is to be mended; pure.

    Parameters
    ----------
    layout
        What is wanted.
    found
        What is there, by name.
    strict
        The events topic must have exactly the partitions of the layout.

    Examples
    --------
    >>> layout = Layout(8, (Topic("events", "events", 8, 1, {}),))
    >>> judge(layout, {})[0].level
    'error'
    """
    events = next((found.get(topic.name) for topic in layout.topics if topic.role == "events"), None)
    out: list[Finding] = []
    for topic in layout.topics:
        what = f"topic {topic.name}"
        is_ = found.get(topic.name)
        if is_ is None:
            told = "missing, or we may not see it (ACL Describe); run `henji topics create`"
            out.append(Finding("error", what, told))
            continue
        wrong = [each for rule in _OF_EVERY for each in rule(topic, is_)]
        if topic.role == "events":
            wrong = [*_partitions(topic, is_, layout.lanes, strict), *wrong]
            wrong += [each for rule in _OF_EVENTS for each in rule(topic, is_)]
        elif topic.role in ("dead", "late"):
            wrong += _room(topic, is_, events)
        out += [Finding(level, what, told) for level, told in wrong]
        if not any(level == "error" for level, _ in wrong):
            out.append(Finding("ok", what, _summary(is_)))
    return out


class _Wrong(NamedTuple):
    """What is wrong with a topic."""

    level: str
    told: str


def _partitions(topic: Topic, is_: Described, lanes: int, strict: bool) -> Iterator[_Wrong]:
    way_out = (
        "make a new topic (kafka.topic), copy the partitions of this one into it, each in its order and placed by "
        "murmur2, and start a new ledger (redis.prefix); partitions that are added move customers to other lanes"
    )
    if not is_.partitions or lanes % is_.partitions:
        told = f"expected a number of partitions that divides lanes, {lanes}, got {is_.partitions}; {way_out}"
        yield _Wrong("error", told)
    elif strict and is_.partitions != topic.partitions:
        told = (
            f"expected {topic.partitions} partitions (kafka.partitions), got {is_.partitions}; set kafka.partitions to "
            f"{is_.partitions}, which divides lanes as well, or {way_out}"
        )
        yield _Wrong("error", told)


def _copies(topic: Topic, is_: Described) -> Iterator[_Wrong]:
    of = f"of {is_.partitions} partitions"
    if is_.leaderless:
        yield _Wrong("error", f"{is_.leaderless} {of} have no leader; start the brokers that hold them")
    if is_.lagging:
        yield _Wrong("warning", f"{is_.lagging} {of} have a copy that is behind; look at the brokers")
    if is_.replication < topic.replication:
        told = f"expected {topic.replication} copies (kafka.replication), got {is_.replication}"
        yield _Wrong("warning", f"{told}; see kafka-reassign-partitions.sh")
    if is_.replication >= 3 and is_.config.get("min.insync.replicas") == "1":
        why = "what is acknowledged may be on one broker only"
        yield _setting("warning", topic, is_, "min.insync.replicas", "2 with three copies", why, 2)


def _told(topic: Topic, is_: Described) -> Iterator[_Wrong]:
    """Kafka tells every setting; a broker that does not may have any."""
    unknown = [key for key in topic.config if key not in is_.config and key != "min.insync.replicas"]
    if unknown:
        told = f"the broker does not tell {', '.join(unknown)}; see that they are as `henji topics create` makes them"
        yield _Wrong("warning", told)


def _policy(topic: Topic, is_: Described) -> Iterator[_Wrong]:
    if "compact" in is_.config.get("cleanup.policy", "delete"):
        why = "compaction throws away all but the newest record of a customer"
        yield _setting("error", topic, is_, "cleanup.policy", "delete", why, "delete")


def _time(topic: Topic, is_: Described) -> Iterator[_Wrong]:
    key, wanted = "message.timestamp.type", "LogAppendTime"
    if is_.config.get(key, wanted) != wanted:
        why = "a producer's wrong clock could move the clock of a lane"
        yield _setting("error", topic, is_, key, wanted, why, wanted)


def _retention(topic: Topic, is_: Described) -> Iterator[_Wrong]:
    kept, wanted = _whole(is_.config.get("retention.ms")), int(topic.config.get("retention.ms", "-1"))
    if kept is not None and kept >= 0 and (wanted < 0 or kept < wanted):
        least = "-1, for ever" if wanted < 0 else f"at least {wanted}, {format_duration(wanted)} (kafka.retention)"
        why = f"what is older than {format_duration(kept)} can be neither caught up with nor replayed"
        level = "error" if kept < _LEAST_RETENTION_MS else "warning"
        yield _setting(level, topic, is_, "retention.ms", least, why, wanted)
    size = _whole(is_.config.get("retention.bytes"))
    if size is not None and size >= 0:
        why = "a busy day would throw away events, whatever retention.ms says"
        yield _setting("warning", topic, is_, "retention.bytes", "-1", why, -1)


def _loss(topic: Topic, is_: Described) -> Iterator[_Wrong]:
    key = "unclean.leader.election.enable"
    if is_.config.get(key) == "true":
        why = "acknowledged events may vanish, and the ledger no longer matches the log"
        yield _setting("warning", topic, is_, key, "false", why, "false")


def _longest(topic: Topic, is_: Described) -> Iterator[_Wrong]:
    longest = _whole(is_.config.get("max.message.bytes"))
    if longest is not None and longest > MAX_RAW_BYTES:
        why = "a dead letter does not hold a longer record whole"
        yield _setting("warning", topic, is_, "max.message.bytes", f"at most {MAX_RAW_BYTES}", why, EVENTS_MAX_BYTES)


def _room(topic: Topic, is_: Described, events: Described | None) -> Iterator[_Wrong]:
    """Whether every record of the events topic fits into a letter."""
    record = _whole(events.config.get("max.message.bytes")) if events is not None else None
    room = _whole(is_.config.get("max.message.bytes"))
    if record is None or room is None or room >= MAX_LETTER_BYTES:
        return
    needed = min(record + _LETTER_FRAME_BYTES, MAX_LETTER_BYTES)
    if room < needed:
        level, why = "error", "a record of the events topic would not fit with its headers, and stop the worker"
    else:
        level, why = "warning", "a record that came compressed may be longer than the limit of the events topic"
    yield _setting(level, topic, is_, "max.message.bytes", f"{MAX_LETTER_BYTES}", why, MAX_LETTER_BYTES)


def _setting(level: str, topic: Topic, is_: Described, key: str, expected: str, why: str, better: object) -> _Wrong:
    alter = f"kafka-configs.sh --alter --entity-type topics --entity-name {topic.name} --add-config {key}={better}"
    return _Wrong(level, f"{key}: expected {expected}, got {is_.config[key]}: {why}; {alter}")


def _summary(is_: Described) -> str:
    facts = [count(is_.partitions, "partition", "partitions"), count(is_.replication, "copy", "copies")]
    kept = _whole(is_.config.get("retention.ms"))
    if kept is not None:
        facts.append("kept for ever" if kept < 0 else f"kept {format_duration(kept)}")
    if time := is_.config.get("message.timestamp.type"):
        facts.append(time)
    return ", ".join(facts)


def count(n: int, one: str, many: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> count(1, "copy", "copies"), count(3, "copy", "copies")
    ('1 copy', '3 copies')
    """
    return f"{n} {one if n == 1 else many}"


def _whole(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


_OF_EVERY: tuple[Callable[[Topic, Described], Iterator[_Wrong]], ...] = (_copies, _told, _policy)
_OF_EVENTS = (_time, _retention, _loss, _longest)
