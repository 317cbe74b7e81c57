from __future__ import annotations

import pytest

from engine.duration import DAY_MS
from engine.errors import ConfigurationError
from streams.kafka.dead_letter import MAX_LETTER_BYTES, MAX_RAW_BYTES
from streams.kafka.layout import Layout
from streams.kafka.topic_checks import Described, Finding, judge
from streams.settings import load_settings


def layout(**given: str) -> Layout:
    pairs = [(key.replace("_", "."), value, "--set") for key, value in given.items()]
    return Layout.of(load_settings(None, {}, pairs))


def as_wanted(wanted: Layout) -> dict[str, Described]:
    """What a broker tells after `create`."""
    return {t.name: Described(t.partitions, t.replication, 0, 0, dict(t.config)) for t in wanted.topics}


def judged(wanted: Layout, changed: dict[str, object], *, strict: bool = False, name: str = "events") -> list[Finding]:
    """The findings when one topic differs in fields of `Described` or in settings."""
    found = as_wanted(wanted)
    was = found[name]
    config = dict(was.config)
    for key, value in changed.items():
        if key in Described._fields:
            was = was._replace(**{key: value})  # type: ignore[arg-type] # by the test above
        elif value is None:
            del config[key]
        else:
            config[key] = str(value)
    found[name] = was._replace(config=config)
    return judge(wanted, found, strict=strict)


def levels(findings: list[Finding], what: str = "topic events") -> list[str]:
    return [finding.level for finding in findings if finding.what == what]


@pytest.mark.parametrize("given", [{}, {"kafka_retention": "none"}, {"kafka_replication": "3"},
                                   {"kafka_alerts": "risk.alerts"}])  # fmt: skip
def test_what_create_makes_has_nothing_to_be_mended(given: dict[str, str]) -> None:
    wanted = layout(**given)
    findings = judge(wanted, as_wanted(wanted), strict=True)
    assert [finding.level for finding in findings] == ["ok"] * len(wanted.topics)


def test_a_missing_topic_is_an_error_that_names_the_command() -> None:
    findings = judge(layout(), {})
    assert [f.level for f in findings] == ["error"] * 3
    assert all("henji topics create" in f.told for f in findings)


@pytest.mark.parametrize(("partitions", "strict", "expected"), [
    (3, False, ["error"]), (16, False, ["error"]), (0, False, ["error"]), (4, False, ["ok"]), (4, True, ["error"]),
])  # fmt: skip
def test_partitions_must_divide_the_lanes_and_a_new_topic_has_those_asked_for(
    partitions: int, strict: bool, expected: list[str]
) -> None:
    findings = judged(layout(), {"partitions": partitions}, strict=strict)
    assert levels(findings) == expected
    if expected == ["error"]:
        assert "make a new topic" in findings[0].told


@pytest.mark.parametrize(("setting", "value", "level"), [
    ("cleanup.policy", "compact", "error"),
    ("cleanup.policy", "compact,delete", "error"),
    ("message.timestamp.type", "CreateTime", "error"),
    ("retention.ms", DAY_MS - 1, "error"),
    ("retention.ms", 30 * DAY_MS, "warning"),
    ("retention.bytes", 1 << 30, "warning"),
    ("unclean.leader.election.enable", "true", "warning"),
    ("max.message.bytes", MAX_RAW_BYTES + 1, "warning"),
    ("message.timestamp.type", None, "warning"),
    ("lagging", 1, "warning"),
    ("leaderless", 1, "error"),
])  # fmt: skip
def test_a_wrong_setting_of_the_events_topic_is_found(setting: str, value: object, level: str) -> None:
    findings = judged(layout(), {setting: value})
    assert levels(findings) == ([level] if level == "error" else [level, "ok"])


@pytest.mark.parametrize("retention_ms", [400 * DAY_MS, 500 * DAY_MS, -1])
def test_longer_retention_than_asked_for_is_fine(retention_ms: int) -> None:
    assert levels(judged(layout(), {"retention.ms": retention_ms})) == ["ok"]


def test_any_end_is_too_early_for_a_topic_that_is_kept_for_ever() -> None:
    assert "warning" in levels(judged(layout(kafka_retention="none"), {"retention.ms": 3650 * DAY_MS}))


@pytest.mark.parametrize("name", ["events.dead", "events.late"])
def test_letters_need_room_for_every_record_of_the_events_topic(name: str) -> None:
    what = f"topic {name}"
    assert levels(judged(layout(), {"max.message.bytes": 1_048_588}, name=name), what) == ["error"]
    assert levels(judged(layout(), {"max.message.bytes": MAX_LETTER_BYTES - 1}, name=name), what) == ["warning", "ok"]
    assert levels(judged(layout(), {"max.message.bytes": MAX_LETTER_BYTES * 2}, name=name), what) == ["ok"]


def test_compacted_letters_are_an_error() -> None:
    assert levels(judged(layout(), {"cleanup.policy": "compact"}, name="events.dead"), "topic events.dead") == ["error"]


def test_fewer_copies_than_asked_for_are_a_warning() -> None:
    assert levels(judged(layout(kafka_replication="3"), {"replication": 2})) == ["warning", "ok"]


def test_three_copies_of_which_one_may_acknowledge_are_a_warning() -> None:
    told = judged(layout(kafka_replication="3"), {"min.insync.replicas": 1})
    assert levels(told) == ["warning", "ok"]


def test_every_wrong_setting_says_the_command_that_mends_it() -> None:
    findings = judged(
        layout(), {"cleanup.policy": "compact", "message.timestamp.type": "CreateTime", "retention.bytes": 5}
    )
    told = [finding.told for finding in findings if finding.level != "ok"]
    assert len(told) == 3
    assert all("kafka-configs.sh --alter --entity-type topics --entity-name events --add-config" in t for t in told)


def test_partitions_that_do_not_divide_the_lanes_are_refused_before_kafka_is_asked() -> None:
    with pytest.raises(ConfigurationError, match=r"kafka\.partitions"):
        layout(kafka_partitions="3")


def test_two_topics_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"kafka\.dead"):
        layout(kafka_dead="events")
