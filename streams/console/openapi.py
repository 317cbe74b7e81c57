"""The console's OpenAPI document, made from its routes and codes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, TypeAlias

from engine.event import JUDGEMENTS, OVERRIDE_STATES, WORD_STATES
from streams.console.gate import COOKIE, CSRF_HEADER
from streams.console.passwords import LONGEST, SHORTEST
from streams.console.problem import CODES, MEDIA_TYPE
from streams.console.roles import ROLES
from streams.console.routes import ROUTES, Route

__all__ = ["openapi"]

Schema: TypeAlias = dict[str, Any]

_ROLE: Schema = {"enum": list(ROLES)}
_STATE: Schema = {"enum": list(WORD_STATES)}
_REQUEST: Schema = {"type": "string", "format": "uuid", "description": "Sent again, the same order does nothing twice."}


def _text(longest: int, shortest: int = 1) -> Schema:
    return {"type": "string", "minLength": shortest, "maxLength": longest}


def _whole(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _body(*required: str, **properties: Schema) -> Schema:
    return {
        "type": "object", "properties": properties, "required": list(required), "additionalProperties": False,
    }  # fmt: skip


_PASSWORD = _text(LONGEST, SHORTEST)
_BODIES: dict[str, Schema] = {
    "login": _body("name", "password", name=_text(64), password=_text(LONGEST), totp=_text(16)),
    "logout": _body(),
    "setup": _body("token", "password", token=_text(128), name=_text(64), password=_PASSWORD),
    "password": _body("old", "new", old=_text(LONGEST), new=_PASSWORD),
    "totp_begin": _body(),
    "totp_confirm": _body("code", code=_text(16)),
    "totp_end": _body("password", password=_text(LONGEST)),
    "add_user": _body("name", "role", name=_text(64), role=_ROLE),
    "change_user": _body(role=_ROLE, disabled={"type": "boolean"}, reset={"type": "boolean"}),
    "ack": _body(state=_STATE, request_id=_REQUEST),
    "snooze": _body(
        state=_STATE, minutes=_whole(1, 259_200), reason=_text(500), request_id=_REQUEST,
    ),
    "outcome": _body(state=_STATE, outcome={"enum": list(JUDGEMENTS)}, request_id=_REQUEST),
    "override": _body(
        "flag", "state", "reason",
        flag=_text(128), category=_text(64), state={"enum": sorted(OVERRIDE_STATES)}, days=_whole(1, 365),
        reason=_text(500), request_id=_REQUEST,
    ),
}  # fmt: skip
"""Name of a route -> its body."""

_LEADING = ("oidc_start", "oidc_callback")
"""Names of routes that answer with where to go on, also when something is wrong."""

_QUERIES: dict[str, dict[str, Schema]] = {
    "oidc_callback": {name: {"type": "string"} for name in ("state", "code", "error", "iss")},
    "audit": {"before": _whole(1, 10**18 - 1), "limit": _whole(1, 500)},
    "alerts": {
        "state": {"enum": ["open", "held", "closed"]}, "route": {"type": "string"}, "flag": {"type": "string"},
        "limit": _whole(1, 1_000),
    },
    "events": {"after": {"type": "string", "description": "Where to begin: `place` of /api/alerts, or Last-Event-ID."}},
    "leaders": {"n": _whole(1, 500)},
}  # fmt: skip


def openapi() -> Schema:
    """The document.

    Examples
    --------
    >>> document = openapi()
    >>> document["openapi"], document["paths"]["/api/alerts"]["get"]["x-least-role"]
    ('3.1.0', 'viewer')
    """
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "henji console",
            "version": version("henji"),
            "description": "What the page of the console asks for. docs/console.md says more. Times are milliseconds "
            "since the epoch; null is unknown.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
                "csrf": {"type": "apiKey", "in": "header", "name": CSRF_HEADER},
            },
            "schemas": {"Problem": _problem()},
        },
    }


def _operation(route: Route) -> Schema:
    problem = {"description": "Something else.", "content": {MEDIA_TYPE: {"schema": {"$ref": _PROBLEM}}}}
    operation: Schema = {
        "operationId": route.name,
        "summary": route.what,
        "responses": {
            "303" if route.name in _LEADING else "2XX": {"description": "As asked."},
            "default": problem,
        },
        "security": _security(route),
    }
    if route.least is not None:
        operation["x-least-role"] = route.least.word
    parts = [part.strip("{}").partition(":")[0] for part in route.path.split("/") if part.startswith("{")]
    parameters = [{"name": part, "in": "path", "required": True, "schema": {"type": "string"}} for part in parts]
    parameters += [
        {"name": name, "in": "query", "schema": schema} for name, schema in _QUERIES.get(route.name, {}).items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.method != "GET":
        content = {"application/json": {"schema": _BODIES[route.name]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


_PROBLEM = "#/components/schemas/Problem"


def _security(route: Route) -> list[dict[str, list[str]]]:
    needed: dict[str, list[str]] = {}
    if route.least is not None:
        needed["session"] = []
    if route.method != "GET":
        needed["csrf"] = []
    return [needed] if needed else []


def _problem() -> Schema:
    return {
        "type": "object",
        "description": "RFC 9457.",
        "properties": {
            "status": {"type": "integer"},
            "code": {"enum": list(CODES)},
            "title": {"type": "string"},
            "detail": {"type": "string"},
        },
        "required": ["status", "code", "title", "detail"],
    }
