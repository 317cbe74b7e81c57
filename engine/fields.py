"""What each field of an event may hold, and the sentence that says so when it does not.

`engine.decode` has the quick way for good values; what is refused there comes here, is looked at again and leaves as an
`InvalidEvent`. The vocabulary checks the values that it sets with the same functions, once, when it is read.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import Any

from engine.errors import InvalidEvent
from engine.timestamp import MAX_TS, MIN_TS, parse_rfc3339

__all__ = [
    "CONTROL_TEXT",
    "FIELDS",
    "NUMBERS",
    "TEXT",
    "check_attributes",
    "check_body",
    "check_category",
    "check_customer",
    "check_field",
    "check_number",
    "check_text",
    "check_time",
    "is_category",
    "shown",
]

TEXT: dict[str, int] = {
    "channel": 32,
    "touchpoint": 128,
    "case_id": 128,
    "contact_id": 128,
    "agent_id": 128,
    "team": 128,
    "nature": 128,
    "action": 128,
    "outcome": 128,
    "step": 128,
    "campaign_id": 128,
    "referred_by": 128,
    "account_id": 128,
}
"""Text fields of any kind -> longest value in characters."""

CONTROL_TEXT: dict[str, int] = {"ref": 128, "flag": 128, "state": 128, "reason": 1024, "by": 1024}
"""Text fields that are read on control events only -> longest value in characters."""

_MAX = sys.float_info.max
NUMBERS: dict[str, tuple[float, float]] = {
    "score": (1.0, 5.0),
    "sentiment": (-1.0, 1.0),
    "wait_s": (0.0, _MAX),
    "value": (-_MAX, _MAX),
}
"""Number fields -> smallest and largest value; not a number and the infinities are outside of every range."""

_RANGES = {
    "score": "a number from 1 to 5",
    "sentiment": "a number from -1 to 1",
    "wait_s": "seconds >= 0",
    "value": "a finite number",
}

FIELDS: frozenset[str] = frozenset(
    {"event_id", "customer_id", "ts", "kind", "category", "until", "body", "lane", "lanes", "attributes"}
    | TEXT.keys()
    | CONTROL_TEXT.keys()
    | NUMBERS.keys()
)
"""Every field of the contract; others are ignored."""

MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_NAME = 64
MAX_ATTRIBUTE_TEXT = 128
# The ledger keeps bodies as JSON, and orjson writes at most 254 levels although it reads 1,024.
MAX_BODY_DEPTH = 32

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode category Cc
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def shown(value: Any) -> str:
    """Name a value in a message, shortened; never walks into nested data (a hostile depth would break `repr`)."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return repr(value[:100])
    return str(value)


def check_text(field: str, value: Any, limit: int) -> str:
    """Check a text; returns it as it is.

    Raises
    ------
    InvalidEvent
        `type` when it is no string, `range` when it is empty, longer than `limit` characters or holds a control
        character (a `reason` may have tabs and several lines: people write it).
    """
    if not isinstance(value, str):
        raise InvalidEvent("type", field, "a string", shown(value))
    if not value or len(value) > limit:
        got = f"{len(value)} characters" if value else "an empty string"
        raise InvalidEvent("range", field, f"1 to {limit} characters", got)
    if (_CONTROL_BUT_LINES if field == "reason" else _CONTROL_CHARACTER).search(value):
        raise InvalidEvent("range", field, "text without control characters", shown(value))
    return value


def check_customer(value: Any) -> str:
    """Check a customer id; any text of 1 to 128 characters but control characters, taken as it is.

    Raises
    ------
    InvalidEvent
        `customer`; `type` for a number: 5 and "5" must never become two customers, nor one by guess.
    """
    if value is None:
        raise InvalidEvent("customer", "customer_id", "a customer id", "nothing")
    if not isinstance(value, str):
        raise InvalidEvent("type", "customer_id", "a string", shown(value))
    if len(value) > 128:
        raise InvalidEvent("customer", "customer_id", "1 to 128 characters", f"{len(value)} characters")
    if not value or value.isspace():
        raise InvalidEvent("customer", "customer_id", "an id that is not blank", shown(value))
    if _CONTROL_CHARACTER.search(value):
        raise InvalidEvent("customer", "customer_id", "text without control characters", shown(value))
    return value


# Categories are few and come back all the time; the bound keeps a flood of new ones from growing memory.
@lru_cache(maxsize=4096)
def is_category(value: str) -> bool:
    """Whether a text is a category: `*`, or 1 to 64 lower-case characters in non-empty parts split by `/`.

    Examples
    --------
    >>> [is_category(text) for text in ("billing/invoice", "*", "Billing", "billing//invoice", "billing/*")]
    [True, True, False, False, False]
    """
    if value == "*":
        return True
    return (
        len(value) <= 64
        and value == value.lower()
        and all(part and not part.isspace() and part != "*" for part in value.split("/"))
        and _CONTROL_CHARACTER.search(value) is None
    )


def check_category(field: str, value: Any) -> str:
    """Check a category.

    Raises
    ------
    InvalidEvent
        `type` when it is no string, else `category`.
    """
    if not isinstance(value, str):
        raise InvalidEvent("type", field, "a string", shown(value))
    if not is_category(value):
        expected = "a lower-case path like billing/invoice of 1 to 64 characters, or * alone"
        raise InvalidEvent("category", field, expected, shown(value))
    return value


def check_number(field: str, value: Any) -> float:
    """Check a number of `NUMBERS`; returns it as a float, minus zero as zero.

    Raises
    ------
    InvalidEvent
        `type` when it is no number (true and "5" are none), `range` when it is out of its range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidEvent("type", field, "a number", shown(value))
    low, high = NUMBERS[field]
    if not low <= value <= high:
        raise InvalidEvent("range", field, _RANGES[field], shown(value))
    return value + 0.0


def check_time(field: str, value: Any) -> int:
    """Check an instant; returns milliseconds since the epoch.

    Raises
    ------
    InvalidEvent
        `ts` when it is neither integer milliseconds nor RFC 3339 text with an offset, `ts_range` when it is outside of
        1970 to 2100.
    """
    expected = "integer milliseconds, or RFC 3339 text with an offset"
    if isinstance(value, str):
        try:
            ms = parse_rfc3339(value)
        except ValueError:
            raise InvalidEvent("ts", field, expected, shown(value)) from None
    elif isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        ms = value
    else:
        raise InvalidEvent("ts", field, expected, shown(value))
    if not MIN_TS <= ms <= MAX_TS:
        raise InvalidEvent("ts_range", field, "a time from 1970 to the end of 2100", shown(value))
    return ms


def check_attributes(value: Any) -> dict[str, str | float | bool]:
    """Check the attributes of a `profile`: a flat map; an entry that is null counts as absent.

    Raises
    ------
    InvalidEvent
        `type` for what is no map or no plain value, `range` for too many, too long or empty.
    """
    if not isinstance(value, dict):
        raise InvalidEvent("type", "attributes", "a flat map", shown(value))
    found: dict[str, str | float | bool] = {}
    for name, entry in value.items():
        if entry is None:
            continue
        field = f"attributes.{name[:MAX_ATTRIBUTE_NAME]}"
        if not name or len(name) > MAX_ATTRIBUTE_NAME or _CONTROL_CHARACTER.search(name):
            expected = f"names of 1 to {MAX_ATTRIBUTE_NAME} characters without control characters"
            raise InvalidEvent("range", "attributes", expected, shown(name))
        if isinstance(entry, str):
            check_text(field, entry, MAX_ATTRIBUTE_TEXT)
        elif not isinstance(entry, bool | int | float):
            raise InvalidEvent("type", field, "a string, a number or true/false", shown(entry))
        found[name] = entry
    if len(found) > MAX_ATTRIBUTES:
        raise InvalidEvent("range", "attributes", f"at most {MAX_ATTRIBUTES} entries", f"{len(found)}")
    return found


def check_body(value: Any) -> str | dict[str, Any]:
    """Check the content of a control event: non-empty text or an object of bounded depth.

    Raises
    ------
    InvalidEvent
        `type` or `range`.
    """
    if isinstance(value, str):
        if not value:
            raise InvalidEvent("range", "body", "text or an object", "an empty string")
        return value
    if not isinstance(value, dict):
        raise InvalidEvent("type", "body", "text or an object", shown(value))
    level: list[Any] = [value]
    for _ in range(MAX_BODY_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return value
    raise InvalidEvent("range", "body", f"at most {MAX_BODY_DEPTH} levels", "more")


def check_field(field: str, value: Any) -> Any:
    """Check a value for any field of `FIELDS` but `kind`, `lane`, `lanes` and `attributes`.

    Raises
    ------
    InvalidEvent
        As the check of that field.
    """
    if field == "customer_id":
        return check_customer(value)
    if field == "category":
        return check_category(field, value)
    if field in ("ts", "until"):
        return check_time(field, value)
    if field in NUMBERS:
        return check_number(field, value)
    if field == "body":
        return check_body(value)
    return check_text(field, value, TEXT.get(field) or CONTROL_TEXT.get(field) or 128)
