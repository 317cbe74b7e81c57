"""Everything that the console answers but success: one shape, with a code that programs can rely on."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import web

__all__ = ["CODES", "MEDIA_TYPE", "Problem"]

MEDIA_TYPE = "application/problem+json"
"""RFC 9457."""

CODES: dict[str, tuple[int, str]] = {
    "body": (400, "the body is not what its headers say"),
    "json": (400, "the body is not a JSON object"),
    "unauthenticated": (401, "nobody is logged in, or the session has ended"),
    "bad_login": (401, "name, password or code are not right"),
    "totp_required": (401, "the account asks for a code as well"),
    "oidc_denied": (401, "the provider let nobody in"),
    "oidc_token": (401, "what the provider says proves nothing"),
    "forbidden": (403, "the role does not reach so far"),
    "csrf": (403, "the request does not come from a page of this console"),
    "oidc_state": (403, "the login was begun elsewhere, is too old, or was used"),
    "oidc_role": (403, "the provider knows them, but they have no role here"),
    "oidc_account": (403, "the account is locked, or its name is none or another's"),
    "host": (403, "the console is not known by this name"),
    "not_found": (404, "there is no such thing"),
    "method": (405, "the path has other methods"),
    "slow": (408, "the body did not come in time"),
    "read_only": (409, "the console has no intake: nothing can be done here"),
    "too_large": (413, "the body is too long"),
    "media_type": (415, "the body is of another type, or compressed"),
    "expectation": (417, "only 100-continue can be expected"),
    "invalid": (422, "a value is not one that is taken"),
    "too_many": (429, "too often; wait"),
    "internal": (500, "the console failed; its log has the place"),
    "intake": (502, "the intake refused the order, or does not answer"),
    "oidc_provider": (502, "the provider does not answer, or not as it should"),
    "store": (503, "Redis, or the file of accounts, does not answer"),
}
"""Code -> status and what it says."""


class Problem(Exception):
    """A request that is not answered with success.

    Parameters
    ----------
    code
        Of `CODES`.
    detail
        What was expected, what came, what to do.
    status
        Another status than that of `CODES`.
    headers
        Further headers of the answer, e.g. `Retry-After`.

    Examples
    --------
    >>> problem = Problem("too_many", "expected fewer attempts", headers={"Retry-After": "60"})
    >>> problem.status, orjson.loads(problem.response().body)["code"]
    (429, 'too_many')
    """

    def __init__(
        self, code: str, detail: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.status = status or CODES[code][0]
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """The answer."""
        body = {"status": self.status, "code": self.code, "title": CODES[self.code][1], "detail": self.detail}
        return web.Response(body=orjson.dumps(body), status=self.status, content_type=MEDIA_TYPE, headers=self.headers)
