"""A customer as a run left them, in the form in which two runs are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from engine.flag_field import flag_field
from streams.redis.views import read_customer, read_flag

__all__ = ["FACTS", "FLAG_FACTS", "SCORES", "CustomerRow", "row_of_board", "row_of_line"]

SCORES = ("churn", "engagement", "contact")
"""Scores of a customer and of a prediction."""

FACTS = ("sensitive", "stage", "as_of")
"""What else both kinds of run say of a customer."""

FLAG_FACTS = ("since", "until", "count", "severity", "evidence")
"""What is compared of a flag that is up in both runs."""


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """A customer as a run left them.

    Parameters
    ----------
    customer_id
        Who.
    flags
        Field of the flag (`<flag>` or `<flag>/<category>`) -> value of each of `FLAG_FACTS`; times in ms.
    scores
        Each of `SCORES`; `None` is unknown.
    facts
        Each of `FACTS`.
    """

    customer_id: str
    flags: dict[str, dict[str, Any]]
    scores: dict[str, float | None]
    facts: dict[str, Any]


def row_of_line(line: bytes) -> CustomerRow:
    """A line of `henji replay --board`.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is none.
    """
    told = orjson.loads(line)
    flags = {
        flag_field(flag["flag"], flag["category"]): {name: flag[name] for name in FLAG_FACTS} for flag in told["flags"]
    }
    return CustomerRow(
        told["customer_id"],
        flags,
        {name: told[name] for name in SCORES},
        {name: told[name] for name in FACTS},
    )


def row_of_board(
    key: str, customer_id: str, customer: Mapping[str, str], flags: Mapping[str, str], why: Mapping[str, str]
) -> CustomerRow:
    """A customer from the hashes of the board.

    Parameters
    ----------
    key
        Of the customer, for messages.
    customer, flags, why
        The hashes.

    Raises
    ------
    CorruptState
        If a field is not of the contract's form.
    ValueError
        If the evidence of a flag is no JSON.
    """
    view = read_customer(key, customer_id, customer)
    shown = {}
    for field, value in flags.items():
        flag = read_flag(key, field, value, None)
        evidence = orjson.loads(why[field]) if field in why else None
        shown[field] = {
            "since": flag.since,
            "until": flag.until,
            "count": flag.count,
            "severity": flag.severity,
            "evidence": evidence,
        }
    return CustomerRow(
        customer_id,
        shown,
        {"churn": view.churn, "engagement": view.engagement, "contact": view.contact},
        {"sensitive": view.sensitive, "stage": view.stage, "as_of": view.as_of},
    )
