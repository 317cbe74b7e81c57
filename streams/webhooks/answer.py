"""What an endpoint answered, and what follows from it for the message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

__all__ = ["Answer", "Verdict", "parse_retry_after", "verdict"]

_PASSING_4XX = frozenset({408, 425, 429})
_GONE = 410


class Verdict(Enum):
    """What follows from an answer."""

    DELIVERED = "delivered"
    RETRY = "retry"
    REFUSED = "refused"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt ended.

    Parameters
    ----------
    status
        Of HTTP; `None`: there was no answer that could be understood.
    why
        In words, for people; without control characters.
    retry_after_ms
        How long the endpoint asked to wait, or `None`.
    took_ms
        How long the attempt took.
    """

    status: int | None
    why: str
    retry_after_ms: int | None = None
    took_ms: int = 0


def verdict(answer: Answer, *, refused_is_final: bool = True) -> Verdict:
    """What follows from an answer: 2xx is delivered, whatever else comes with it.

    A redirect is not followed: the URL was looked at and approved by somebody, where it leads was not.

    Examples
    --------
    >>> [verdict(Answer(status, "")).value for status in (204, 302, 404, 410, 429, 500, None)]
    ['delivered', 'retry', 'refused', 'gone', 'retry', 'retry', 'retry']
    """
    status = answer.status
    if status is None:
        return Verdict.RETRY
    if 200 <= status < 300:
        return Verdict.DELIVERED
    if status == _GONE:
        return Verdict.GONE
    if 400 <= status < 500 and status not in _PASSING_4XX and refused_is_final:
        return Verdict.REFUSED
    return Verdict.RETRY


def parse_retry_after(text: str | None, now_ms: int) -> int | None:
    """Milliseconds to wait by a header `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3); else `None`.

    Examples
    --------
    >>> [parse_retry_after(text, 2_000) for text in ("120", "Thu, 01 Jan 1970 00:00:05 GMT", "soon")]
    [120000, 3000, None]
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return int(text[:9]) * 1000
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0, int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000) - now_ms)
