"""What a single key of the board must be, checked against the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite

import orjson

from engine.service_counts import day_name, day_of, read_buckets
from streams.redis.catalogue import INPUT_STATES, FieldSpec, KeySpec

__all__ = ["Violation", "check_fields", "check_items", "check_ttl"]

_NAME_MAX_BYTES = 64
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_INTEGER = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a board breaks its contract.

    Parameters
    ----------
    key
        The key, with prefix.
    rule
        Stable name: `unknown_key`, `bad_id`, `wrong_type`, `missing_ttl`, `long_ttl`, `stray_ttl`, `unknown_field`,
        `missing_field`, `too_large`, `too_many`, `bad_value`, `missing_key`, `orphan`, `orphan_index`, `missing_index`,
        `flags_up`, `no_memory`, `memory_count`.
    expected, got
        In words.
    """

    key: str
    rule: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.key}: {self.rule}: expected {self.expected}, got {self.got}"


def check_ttl(key: str, spec: KeySpec, ttl_s: int) -> Iterator[Violation]:
    """Violations of a key's TTL.

    Parameters
    ----------
    ttl_s
        What TTL says: seconds, or -1 for none.
    """
    if spec.ttl_s is None:
        if ttl_s >= 0:
            yield Violation(key, "stray_ttl", "no TTL", f"{ttl_s} s")
    elif ttl_s < 0:
        yield Violation(key, "missing_ttl", f"a TTL of at most {spec.ttl_s} s", "none")
    elif ttl_s > spec.ttl_s:
        yield Violation(key, "long_ttl", f"a TTL of at most {spec.ttl_s} s", f"{ttl_s} s")


def check_fields(key: str, spec: KeySpec, raw: Mapping[bytes, bytes]) -> Iterator[Violation]:
    """Violations of the fields of a hash or a stream entry: names, sizes, forms.

    Examples
    --------
    >>> from streams.redis.catalogue import BOARD_KEYS
    >>> raw = {b"flags_up": b"0", b"lane": b"1", b"as_of": b"5", b"mood": b"sad"}
    >>> [violation.rule for violation in check_fields("risk:customer:c1", BOARD_KEYS[0], raw)]
    ['unknown_field']
    """
    if spec.max_items is not None and len(raw) > spec.max_items:
        yield Violation(key, "too_many", f"at most {spec.max_items} fields", str(len(raw)))
    for field in spec.fields:
        if field.required and field.name.encode() not in raw:
            yield Violation(key, "missing_field", f"the field {field.name}", "none")
    for raw_name, value in raw.items():
        name = raw_name.decode(errors="backslashreplace")
        known = _field_spec(spec, name)
        if known is None:
            yield Violation(key, "unknown_field", "fields of the catalogue only", name[:80])
            continue
        if len(value) > known.max_bytes:
            yield Violation(key, "too_large", f"at most {known.max_bytes} bytes in {name[:80]}", f"{len(value)} bytes")
        if spec.name in ("flags", "why") and len(raw_name) > _NAME_MAX_BYTES:
            yield Violation(key, "too_large", f"names of at most {_NAME_MAX_BYTES} bytes", f"{len(raw_name)} bytes")
        form = _form(spec.name, known.name)
        if form is not None and not _holds(form[1], name, value):
            yield Violation(key, "bad_value", f"{form[0]} in {name[:80]}", repr(value[:80]))


def check_items(key: str, spec: KeySpec, items: Sequence[bytes]) -> Iterator[Violation]:
    """Violations of the elements of a list."""
    limit = spec.fields[0].max_bytes
    if spec.max_items is not None and len(items) > spec.max_items:
        yield Violation(key, "too_many", f"at most {spec.max_items} elements", str(len(items)))
    for item in items:
        if len(item) > limit:
            yield Violation(key, "too_large", f"at most {limit} bytes an element", f"{len(item)} bytes")
        elif not _holds(_is_trace, "", item):
            yield Violation(key, "bad_value", "[at, kind, category, channel, case_id, detail]", repr(item[:80]))


@cache
def _families(spec: KeySpec) -> tuple[tuple[re.Pattern[str], FieldSpec], ...]:
    return tuple(
        (re.compile(re.sub(r"<[^>]*>", ".+", re.escape(field.name).replace(r"\<", "<").replace(r"\>", ">"))), field)
        for field in spec.fields
        if "<" in field.name
    )


def _field_spec(spec: KeySpec, name: str) -> FieldSpec | None:
    for field in spec.fields:
        if field.name == name:
            return field
    for pattern, field in _families(spec):
        if spec.open_fields or pattern.fullmatch(name):
            return field
    return None


def _holds(test: Callable[[str, bytes], bool], name: str, value: bytes) -> bool:
    try:
        return test(name, value)
    except (ValueError, TypeError):
        return False


def _is_proba(name: str, value: bytes) -> bool:
    return 0.0 <= float(value) <= 1.0


def _is_amount(name: str, value: bytes) -> bool:
    return 0.0 <= float(value) < float("inf")


def _is_integer(name: str, value: bytes) -> bool:
    return _INTEGER.fullmatch(value.decode()) is not None


def _is_bit(name: str, value: bytes) -> bool:
    return value in (b"0", b"1")


def _is_input_state(name: str, value: bytes) -> bool:
    return value.decode() in INPUT_STATES


def _is_list(name: str, value: bytes) -> bool:
    return isinstance(orjson.loads(value), list)


def _is_flag(name: str, value: bytes) -> bool:
    since, until, count, severity, alert_id = orjson.loads(value)
    times = isinstance(since, int) and (until is None or (isinstance(until, int) and until >= since))
    return times and isinstance(count, int) and isinstance(severity, str) and isinstance(alert_id, str)


def _is_day(name: str, value: bytes) -> bool:
    _churn, _engagement = orjson.loads(value)
    return _DAY.fullmatch(name) is not None


def _is_trace(name: str, value: bytes) -> bool:
    at, kind, *rest = orjson.loads(value)
    return isinstance(at, int) and isinstance(kind, str) and len(rest) == 4


def _is_service_day(name: str, value: bytes) -> bool:
    day, _, lane = name.rpartition(":")
    counts = read_buckets(value.decode()).values()
    return day_name(day_of(day)) == day and lane.isdecimal() and all(1 <= c.customers <= sum(c[1:]) for c in counts)


def _is_number(name: str, value: bytes) -> bool:
    return isfinite(float(value))


def _is_reliability(name: str, value: bytes) -> bool:
    table = orjson.loads(value)
    rows = [row for row in table if row is not None]
    return len(table) == 10 and all(n > 0 and 0.0 <= p <= 1.0 and 0.0 <= share <= 1.0 for n, p, share in rows)


def _is_drift(name: str, value: bytes) -> bool:
    n_alarms, at, before, after = value.decode().split(",")
    return int(n_alarms) > 0 and int(at) >= 0 and isfinite(float(before)) and isfinite(float(after))


_Form = tuple[str, Callable[[str, bytes], bool]]
_WHOLE: _Form = ("an integer", _is_integer)
_PROBA: _Form = ("a number from 0 to 1", _is_proba)
_AMOUNT: _Form = ("a number >= 0", _is_amount)
_LIST: _Form = ("a JSON list", _is_list)
_FLAG_FAMILY = "<flag>, <flag>/<category>"

_FORMS: dict[tuple[str, str], _Form] = {
    ("customer", "churn"): _PROBA,
    ("customer", "engagement"): _AMOUNT,
    ("customer", "contact"): _PROBA,
    ("customer", "silence_ratio"): _AMOUNT,
    ("customer", "flags_up"): _WHOLE,
    ("customer", "lane"): _WHOLE,
    ("customer", "as_of"): _WHOLE,
    ("customer", "next_change_at"): _WHOLE,
    ("customer", "sensitive"): ("`0` or `1`", _is_bit),
    ("flags", _FLAG_FAMILY): ("[since, until, count, severity, alert_id]", _is_flag),
    ("why", "churn"): _LIST,
    ("why", "engagement"): _LIST,
    ("why", _FLAG_FAMILY): _LIST,
    ("history", "<YYYY-MM-DD>"): ("a day with [churn, engagement]", _is_day),
    ("service", "<YYYY-MM-DD>:<lane>"): ("a day of a lane with bucket:customers,requests,complaints", _is_service_day),
    ("alerts", "seq"): _WHOLE,
    ("alerts", "lane"): _WHOLE,
    ("alerts", "priority"): _WHOLE,
    ("alerts", "scene"): _LIST,
    **{("model", f"{name}:<lane>"): _PROBA for name in ("base_rate", "brier", "ece", "auc", "average_precision")},
    **{("model", f"{name}:<lane>"): _AMOUNT for name in ("mean_p", "log_loss", "mean_y", "mae", "poisson_deviance")},
    **{("model", f"{name}:<lane>"): _WHOLE for name in ("taken", "learned", "pending", "erased", "number")},
    ("model", "n:<lane>"): _AMOUNT,
    ("model", "recent_<figure>:<lane>"): _AMOUNT,
    ("model", "difference:<lane>"): ("a number", _is_number),
    ("model", "difference_se:<lane>"): _AMOUNT,
    ("model", "reliability:<lane>"): ("ten times [n, mean prediction, share] or null", _is_reliability),
    ("model", "drift_<what>:<lane>"): ("alarms,at,before,after", _is_drift),
    ("meta", "contract"): _WHOLE,
    ("meta", "lanes"): _WHOLE,
    ("meta", "last_write"): _WHOLE,
    ("meta", "watermark:<lane>"): _WHOLE,
    ("meta", "input:<lane>"): (f"one of {', '.join(INPUT_STATES)}", _is_input_state),
    ("meta", "input_at:<lane>"): _WHOLE,
    ("meta", "last_event_at:<lane>"): _WHOLE,
}


def _form(key: str, field: str) -> _Form | None:
    return _FORMS.get((key, field))
