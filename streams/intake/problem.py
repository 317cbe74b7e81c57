"""Everything that the intake answers but success: one shape, with a code that programs can rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypedDict

import orjson
from aiohttp import web

from engine.errors import InvalidEvent

__all__ = ["CODES", "MEDIA_TYPE", "SHOWN", "EventError", "Problem", "event_error"]

MEDIA_TYPE = "application/problem+json"
"""RFC 9457."""

SHOWN = 100
"""Most wrong events of a request that are listed."""

CODES: dict[str, tuple[int, str]] = {
    "body": (400, "the body is not what its headers say"),
    "json": (400, "the body is not JSON"),
    "empty": (400, "the body has no events"),
    "invalid": (400, "at least one event is not valid; nothing was sent"),
    "token": (401, "no token, or not one of ours"),
    "control": (403, "the token may not send control events; nothing was sent"),
    "host": (403, "without tokens only this machine is served, by its own name"),
    "path": (404, "there is no such path"),
    "method": (405, "the path has other methods"),
    "slow": (408, "the body did not come in time"),
    "too_large": (413, "the body is too long"),
    "too_many": (413, "the body has too many events"),
    "media_type": (415, "the body is of another type, or compressed"),
    "expectation": (417, "only 100-continue can be expected"),
    "busy": (429, "too much is under way; try again"),
    "internal": (500, "the intake failed; nobody knows whether the events were sent: send them again"),
    "kafka": (503, "Kafka did not acknowledge; the events may have been sent or not: send them again"),
}
"""Code -> status and what it says."""


class EventError(TypedDict):
    """What is wrong with one event of a request.

    `index` counts from 0 in the array, or among the lines that are not blank; the others are those of `InvalidEvent`.
    """

    index: int
    field: str
    reason: str
    expected: str
    got: str


def event_error(index: int, error: InvalidEvent) -> EventError:
    """An `InvalidEvent` for the one who sent it."""
    return {
        "index": index,
        "field": error.field,
        "reason": error.reason,
        "expected": error.expected,
        "got": error.got,
    }


class Problem(Exception):
    """A request that is not answered with success.

    Parameters
    ----------
    code
        Of `CODES`.
    detail
        What was expected, what came, what to do.
    errors
        Wrong events; the first `SHOWN` are listed.
    headers
        Further headers of the answer, e.g. `Retry-After`.

    Examples
    --------
    >>> problem = Problem("busy", "expected less under way", headers={"Retry-After": "1"})
    >>> problem.status, orjson.loads(problem.response().body)["title"]
    (429, 'Too Many Requests')
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[EventError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.status = CODES[code][0]
        self.detail = detail
        self.errors = list(errors[:SHOWN])
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """The answer."""
        body: dict[str, Any] = {
            "status": self.status,
            "title": HTTPStatus(self.status).phrase,
            "code": self.code,
            "detail": self.detail,
            "errors": self.errors,
        }
        return web.Response(body=orjson.dumps(body), status=self.status, content_type=MEDIA_TYPE, headers=self.headers)
