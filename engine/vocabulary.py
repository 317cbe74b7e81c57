"""An organisation's own words for our fields, kinds, channels and categories, so that nobody rewrites their events.

The mapping file is TOML; every table reads "theirs = ours". `docs/events.md` has it in full with an example.
`engine.mapping_file` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from engine.fields import FIELDS, NUMBERS
from engine.mapping_file import UNITS, MappingFile
from engine.timestamp import parse_rfc3339

__all__ = ["Vocabulary"]

_TIMES = ("ts", "until")
# Numbers, times and free content keep their type; every other field is text, and an integer there is an id.
_STRINGS = FIELDS - NUMBERS.keys() - {"ts", "until", "lane", "lanes", "body", "attributes"}
_NUMBER_TEXT = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_MS = timedelta(milliseconds=1)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Translates records of an organisation into records of the contract; made by `parse`.

    Words that it does not know pass as they are: a log may hold ours and theirs, and what is neither goes to the dead
    letters. Wrong for events that must be split or joined: use `sql` for those.

    Parameters
    ----------
    source
        Name of the file, for messages.
    fields
        Their column -> our fields (`attributes.<name>` for a fact of a profile).
    constants
        Our field -> value on every event.
    kinds
        Their word -> what it sets: our kind, and perhaps other fields.
    channels
        Their word -> our channel; `*` stands for every word not listed.
    categories
        Their word -> our category; `*` as above.
    channel_categories
        Our channel -> (their word -> our category); looked at before `categories`.
    unit
        Unit of numeric times: `s`, `ms`, `us`, `ns`; `None` is ms.
    format
        `strptime` format of times that are text.
    zone
        Zone of times without an offset; the earlier instant where a clock is set back.
    defaults
        Our field -> value where the event has none.
    sql
        A SELECT over the view `log`, for CSV and Parquet.

    Examples
    --------
    >>> words = Vocabulary.parse('''
    ... [fields]
    ... "Ticket" = "event_id"
    ... "Caller" = "customer_id"
    ... "Type" = "kind"
    ... [kinds]
    ... "Handover" = { kind = "handling", step = "transferred" }
    ... ''', "map.toml")
    >>> words.apply({"Ticket": 17, "Caller": "c1", "Type": "Handover"})
    {'event_id': '17', 'customer_id': 'c1', 'kind': 'handling', 'step': 'transferred'}
    """

    source: str
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    kinds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, str] = field(default_factory=dict)
    channel_categories: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unit: str | None = None
    format: str | None = None
    zone: tzinfo | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    sql: str | None = None

    @classmethod
    def parse(cls, text: str, source: str) -> Vocabulary:
        """Read a mapping file.

        Parameters
        ----------
        text
            Content of the file, TOML.
        source
            Its name, for messages.

        Raises
        ------
        VocabularyError
            Names the file, the line and the entry.
        """
        return cls(source=source, **MappingFile(text, source).read())

    def targets(self, column: str) -> tuple[str, ...]:
        """Our fields that a column of theirs fills; the column's own name when the file does not map it.

        Examples
        --------
        >>> Vocabulary.parse('fields."No." = ["event_id", "case_id"]', "map.toml").targets("No.")
        ('event_id', 'case_id')
        """
        return self.fields.get(column, (column,))

    def apply(self, record: dict[str, Any]) -> dict[str, Any]:
        """Translate one record; the argument is not changed.

        Never refuses: a value that cannot be translated stays, and `engine.decode` says what is wrong with it. The
        order is fields, channel, kind, constants, defaults, category, times. In a mapped column an integer becomes text
        where our field is text. Values of constants and defaults are ours and not translated again.
        """
        out = self._rename(record)
        channel = _word(out.get("channel"))
        if channel is not None and self.channels:
            out["channel"] = self.channels.get(channel) or self.channels.get("*", channel)
        kind = _word(out.get("kind"))
        category = _word(out.get("category"))
        known = self.kinds.get(kind, _NOTHING) if kind is not None else _NOTHING
        out.update(known)
        out.update(self.constants)
        for name, value in self.defaults.items():
            if out.get(name) is None:
                out[name] = value
        if category is not None and "category" not in known and "category" not in self.constants:
            out["category"] = self._category(category, out.get("channel"))
        if self.unit is not None or self.format is not None or self.zone is not None:
            for name in _TIMES:
                if out.get(name) is not None:
                    out[name] = self._time(out[name])
        return out

    def _rename(self, record: dict[str, Any]) -> dict[str, Any]:
        """Their columns under our names."""
        if not self.fields:
            return dict(record)
        moved: dict[str, Any] = {}
        facts: dict[str, Any] = {}
        out: dict[str, Any] = {}
        for name, value in record.items():
            targets = self.fields.get(name)
            if targets is None:
                out[name] = value
                continue
            for target in targets:
                if target.startswith("attributes."):
                    facts[target[11:]] = value
                else:
                    moved[target] = str(value) if type(value) is int and target in _STRINGS else value
        # A mapped column wins over one that happens to have our field's name.
        out.update(moved)
        if facts:
            own = out.get("attributes")
            out["attributes"] = {**own, **facts} if isinstance(own, dict) else facts
        return out

    def _category(self, word: str, channel: Any) -> str:
        """Our category for their word, on a channel of ours."""
        if isinstance(channel, str) and channel in self.channel_categories:
            words = self.channel_categories[channel]
            found = words.get(word) or words.get("*")
            if found is not None:
                return found
        return self.categories.get(word) or self.categories.get("*", word)

    def _time(self, value: Any) -> Any:
        """Milliseconds since the epoch, or the value itself where it cannot be read."""
        if isinstance(value, bool):
            return value
        if self.format is not None and isinstance(value, str | int):
            try:
                # Without %z in the format the moment is naive; `_instant` gives it the file's zone.
                return self._instant(datetime.strptime(str(value), self.format))  # noqa: DTZ007
            except (ValueError, OverflowError):
                pass
        if self.unit is not None and _NUMBER_TEXT.fullmatch(str(value)):
            times, over = UNITS[self.unit]
            # Decimal, not float: 1.7e9 s with milliseconds has more digits than a product of floats keeps.
            return int(Decimal(str(value)) * times // over)
        if self.zone is not None and isinstance(value, str):
            for rest in ("Z", "T00:00:00Z"):
                try:
                    return self._instant(_NAIVE_EPOCH + parse_rfc3339(value + rest) * _MS)
                except (ValueError, OverflowError):
                    pass
        return value

    def _instant(self, moment: datetime) -> int:
        """Milliseconds since the epoch of a moment, in the file's zone when it has none of its own."""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone)
        return (moment - _EPOCH) // _MS


def _word(value: Any) -> str | None:
    """A value as a word that a table may hold; numbers are looked up as their digits."""
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else None
