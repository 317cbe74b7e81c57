from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decode import decode
from engine.errors import UsageError, VocabularyError
from engine.timestamp import parse_rfc3339
from engine.vocabulary import Vocabulary

FILE = """
sql = "SELECT * FROM log"

[fields]
"Number" = ["event_id", "case_id"]
"Caller" = "customer_id"
"Opened" = "ts"
"Type" = "kind"
"Via" = "channel"
"Service" = "category"
"Role" = "attributes.role"
team = { value = "desk" }

[kinds]
"Incident" = "request"
"Handover" = { kind = "handling", step = "transferred" }
"General" = { kind = "request", category = "*" }
"7" = "resolved"

[channels]
"Hotline" = "phone"
"*" = "web"

[categories]
"E-Mail & Kalender" = "mail"
"*" = "other"

[categories.phone]
"Option 1" = "billing"

[time]
format = "%d.%m.%Y %H:%M"
unit = "s"
zone = "Europe/Berlin"

[defaults]
category = "*"
nature = "report"
"""


def parse(text: str) -> Vocabulary:
    return Vocabulary.parse(text, "map.toml")


def test_a_record_in_their_words_becomes_ours() -> None:
    theirs = {"Number": 17, "Caller": "c1", "Opened": "31.01.2026 08:00", "Type": "Incident", "Via": "Hotline"}
    ours = parse(FILE).apply(theirs | {"Service": "Option 1", "Role": "owner", "Unknown": 1})
    assert ours == {
        "event_id": "17",
        "case_id": "17",
        "customer_id": "c1",
        "ts": parse_rfc3339("2026-01-31T08:00:00+01:00"),
        "kind": "request",
        "channel": "phone",
        "category": "billing",
        "attributes": {"role": "owner"},
        "team": "desk",
        "nature": "report",
        "Unknown": 1,
    }


def test_the_argument_is_not_changed() -> None:
    theirs = {"kind": "Handover", "ts": 5, "attributes": {"a": 1}, "Role": "x"}
    before = {**theirs, "attributes": {"a": 1}}
    assert parse(FILE).apply(theirs)["attributes"] == {"a": 1, "role": "x"}
    assert theirs == before


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"Type": "Handover"}, {"kind": "handling", "step": "transferred", "category": "*"}),
        ({"Type": "General", "Service": "Option 1"}, {"kind": "request", "category": "*"}),
        ({"Type": 7}, {"kind": "resolved"}),
        ({"Type": "Unheard"}, {"kind": "Unheard"}),
        ({"Type": "view"}, {"kind": "view"}),
        ({"Via": "Fax", "Service": "Option 1"}, {"channel": "web", "category": "other"}),
        ({"Via": "Hotline", "Service": "E-Mail & Kalender"}, {"channel": "phone", "category": "mail"}),
        ({}, {"category": "*", "team": "desk"}),
        ({"Service": None}, {"category": "*"}),
        ({"team": "own"}, {"team": "desk"}),
        ({"kind": "own", "Type": "Incident"}, {"kind": "request"}),
        ({"kind": ["x"], "channel": {}, "category": 1.5}, {"kind": ["x"], "channel": {}, "category": 1.5}),
    ],
)
def test_words_are_translated_by_their_table(record: dict[str, Any], expected: dict[str, Any]) -> None:
    ours = parse(FILE).apply(record)
    assert {name: ours[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("table", "value", "expected"),
    [
        ('unit = "s"', 1_700_000_000, 1_700_000_000_000),
        ('unit = "s"', "1700000000.1239", 1_700_000_000_123),
        ('unit = "s"', 1_700_000_000.123, 1_700_000_000_123),
        ('unit = "ms"', 1_700_000_000_000.0, 1_700_000_000_000),
        ('unit = "us"', 1_700_000_000_123_999, 1_700_000_000_123),
        ('unit = "ns"', 1_700_000_000_123_999_999, 1_700_000_000_123),
        ('unit = "s"', True, True),
        ('unit = "s"', "soon", "soon"),
        ('unit = "s"', "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ('zone = "+08:00"', "2026-01-01 08:00:00", 1_767_225_600_000),
        ('zone = "+08:00"', "2026-01-01T08:00:00.25", 1_767_225_600_250),
        ('zone = "-01:30"', "2025-12-31T22:30:00", 1_767_225_600_000),
        ('zone = "Asia/Shanghai"', "2026-01-01", 1_767_196_800_000),
        ('zone = "UTC"', "2026-01-01T00:00:00+08:00", "2026-01-01T00:00:00+08:00"),
        # The clock is set back at 03:00: 02:30 is there twice, the first counts.
        ('zone = "Europe/Berlin"', "2025-10-26T02:30:00", 1_761_438_600_000),
        ('format = "%Y%m%d"\nzone = "UTC"', 20260101, 1_767_225_600_000),
        ('format = "%d/%m/%Y %H:%M %z"', "01/01/2026 08:00 +0800", 1_767_225_600_000),
        ('format = "%d/%m/%Y"\nzone = "UTC"', "30/02/2026", "30/02/2026"),
        ('format = "%Y"\nzone = "+23:00"', "0001", -62_135_679_600_000),
    ],
)
def test_times_are_read_by_unit_format_and_zone(table: str, value: Any, expected: Any) -> None:
    assert parse(f"[time]\n{table}").apply({"ts": value, "until": value}) == {"ts": expected, "until": expected}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[fields", "map.toml: expected TOML"),
        ("[field]\nx = 'ts'", "map.toml, line 1: field: expected sql or one of [fields]"),
        ("kinds = 5", "map.toml, line 1: kinds: expected a table [kinds], got 5"),
        ("sql = ' '", "map.toml, line 1: sql: expected a SELECT over the view log"),
        ("[fields]\n# x\n'Nr' = 'event'", "map.toml, line 3: [fields] Nr: expected one of account_id"),
        ("[fields]\nNr = []", "map.toml, line 2: [fields] Nr: expected one of"),
        ("[fields]\nNr = 'attributes.'", "map.toml, line 2: [fields] Nr: expected one of"),
        ("[fields]\na = 'ts'\nb = 'ts'", "map.toml, line 3: [fields] b: expected each field filled once"),
        ("[fields]\na = 'team'\nteam = {value = 'x'}", "[fields] team: expected a column or a constant"),
        ("[fields]\nteam = {valu = 'x'}", "map.toml, line 2: [fields] team: expected { value = ... }"),
        ("[fields]\nevent_id = {value = 'x'}", "[fields] event_id: expected one of the fields account_id"),
        ("[fields]\nscore = {value = 7}", "[fields] score: expected a number from 1 to 5, got 7"),
        ("[kinds]\nView = 'views'", "map.toml, line 2: [kinds] View: expected one of request, complaint"),
        ("[kinds]\nView = {step = 'x'}", "map.toml, line 2: [kinds] View: expected a kind of ours"),
        ("[kinds]\nView = {kind = 'view', colour = 'x'}", "[kinds] View: expected one of the fields"),
        ("[kinds.View]\nkind = 'view'\nscore = 'x'", "map.toml, line 1: [kinds] View: expected a number, got 'x'"),
        ("[channels]\nA = ''", "map.toml, line 2: [channels] A: expected 1 to 32 characters"),
        ("[categories]\nA = 'Billing'", "map.toml, line 2: [categories] A: expected a lower-case path"),
        ("[categories]\nA = 'a'\n[categories.web]\nA = 5", "map.toml, line 4: [categories.web] A: expected a string"),
        ("[time]\nunits = 's'", "map.toml, line 2: [time] units: expected unit, format or zone"),
        ("[time]\nunit = 'm'", "map.toml, line 2: [time] unit: expected s, ms, us or ns, got 'm'"),
        ("[time]\nunit = 5", "map.toml, line 2: [time] unit: expected text, got 5"),
        ("[time]\nformat = '%Y'", "map.toml, line 2: [time] format: expected %z in it, or a zone beside it"),
        ("[time]\nformat = '%Q'\nzone = 'UTC'", "map.toml, line 2: [time] format: expected a strptime format"),
        ("[time]\nformat = '%Y %Y'\nzone = 'UTC'", "map.toml, line 2: [time] format: expected a strptime format"),
        ("[time]\nzone = 'Mars/Base'", "map.toml, line 2: [time] zone: expected a zone like Asia/Shanghai"),
        ("[time]\nzone = '+99:00'", "map.toml, line 2: [time] zone"),
        ("[time]\nzone = '../etc'", "map.toml, line 2: [time] zone"),
        ("[time]\nzone = 'Europe'", "map.toml, line 2: [time] zone"),
        ("[defaults]\ncategory = 'A'", "map.toml, line 2: [defaults] category: expected a lower-case path"),
        ("[defaults]\nts = 5", "map.toml, line 2: [defaults] ts: expected one of the fields"),
        ("[defaults]\nuntil = 2026-01-01", "map.toml, line 2: [defaults] until: expected integer milliseconds"),
        ("[defaults]\nkind = 'x'", "map.toml, line 2: [defaults] kind: expected one of request"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_entry(text: str, message: str) -> None:
    with pytest.raises(VocabularyError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_columns_know_the_fields_that_they_fill() -> None:
    words = parse(FILE)
    assert words.targets("Number") == ("event_id", "case_id")
    assert words.targets("score") == ("score",)
    assert words.sql == "SELECT * FROM log"


@given(st.dictionaries(st.text(max_size=9), st.none() | st.integers() | st.text(max_size=9)))
def test_an_empty_file_changes_nothing(record: dict[str, Any]) -> None:
    assert parse("").apply(record) == record


def test_the_documented_example_is_read(request: pytest.FixtureRequest) -> None:
    page = (request.config.rootpath / "docs" / "events.md").read_text(encoding="utf-8")
    words = Vocabulary.parse(page.split("```toml\n", 1)[1].split("```", 1)[0], "docs/events.md")
    line = page.split("```json\n", 1)[1].split("```", 1)[0].strip()
    event = decode(line.encode(), vocabulary=words)
    assert (event.kind, event.channel, event.category) == ("request", "phone", "billing/invoice")
    assert event.ts == parse_rfc3339("2026-01-31T08:00:00+08:00")
