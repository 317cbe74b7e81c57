"""The intake's OpenAPI document, made from what the engine checks: kinds, fields, lengths."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, TypeAlias

from engine.decode import REASONS, Limits
from engine.event import (
    CATEGORY_REQUIRED,
    CONTRACT_STEPS,
    CONTROL_CUSTOMER,
    CONTROL_LANE,
    HANDLING_STEPS,
    JUDGEMENTS,
    KINDS,
    OVERRIDE_STATES,
    REF_REQUIRED,
    WORD_STATES,
    WORDS,
)
from engine.fields import CONTROL_TEXT, MAX_ATTRIBUTE_NAME, MAX_ATTRIBUTE_TEXT, MAX_ATTRIBUTES, NUMBERS, TEXT
from engine.timestamp import MAX_TS, MIN_TS
from streams.intake.problem import CODES, MEDIA_TYPE, SHOWN
from streams.intake.submission import JSON, MAX_EVENTS, NDJSON

__all__ = ["openapi"]

Schema: TypeAlias = dict[str, Any]

_CC = r"\u0000-\u001f\u007f-\u009f"
_NO_CONTROL = f"^[^{_CC}]*$"
_NO_CONTROL_BUT_LINES = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"
_NOT_BLANK = rf"^[^{_CC}]*[^\s{_CC}][^{_CC}]*$"
# Capital letters beyond ASCII are refused as well; no pattern that all programs understand says so.
_PART = rf"(?!\*(?:/|$))(?=[^/]*[^\s/])[^/A-Z{_CC}]+"
_CATEGORY = rf"^(?:\*|{_PART}(?:/{_PART})*)$"
_RFC_3339 = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$"


def openapi(*, max_bytes: int, with_tokens: bool) -> dict[str, Any]:
    """The document.

    Parameters
    ----------
    max_bytes
        Longest body.
    with_tokens
        Whether a token is needed.

    Examples
    --------
    >>> document = openapi(max_bytes=1024, with_tokens=True)
    >>> sorted(document["paths"]["/events"]["post"]["responses"])
    ['202', '400', '401', '403', '408', '413', '415', '417', '429', '500', '503']
    """
    send = {
        "operationId": "sendEvents",
        "summary": "Send events",
        "description": (
            f"One event, an array of at most {MAX_EVENTS}, or one a line; at most {max_bytes} bytes together and "
            f"{Limits().max_bytes} bytes each. All or nothing: when one is not valid, none is sent. 202 means that "
            "Kafka has acknowledged each of them. After a 429, a 5xx or no answer, send the same events with the same "
            "ids again: what was written is not counted twice."
        ),
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/Event"},
                            {
                                "type": "array",
                                "items": {"$ref": "#/components/schemas/Event"},
                                "minItems": 1,
                                "maxItems": MAX_EVENTS,
                            },
                        ]
                    }
                },
                NDJSON: {"schema": {"type": "string", "minLength": 1, "description": "One event a line."}},
            },
        },
        "responses": {
            "202": _answer("Kafka has them.", "Accepted"),
            **_problems(400, 401, 403, 408, 413, 415, 417, 429, 500, 503, with_tokens=with_tokens),
        },
    }
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "henji intake",
            "version": version("henji"),
            "description": "Events over HTTP, for systems that cannot speak Kafka well.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/events": {"post": send},
            "/live": {"get": _look("live", "Whether the process answers")},
            "/ready": {"get": _look("ready", "Whether Kafka answers", 503)},
            "/openapi.json": {
                "get": {
                    "operationId": "openapi",
                    "summary": "This document",
                    "security": [],
                    "responses": {
                        "200": {"description": "It.", "content": {JSON: {"schema": {"type": "object"}}}},
                        **_problems(417, 500),
                    },
                }
            },
        },
        "components": {"schemas": _schemas()},
    }
    if with_tokens:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _look(what: str, summary: str, *statuses: int) -> dict[str, Any]:
    schema = {"type": "object", "properties": {what: {"const": True}}, "required": [what]}
    return {
        "operationId": what,
        "summary": summary,
        "security": [],
        "responses": {
            "200": {"description": "Yes.", "content": {JSON: {"schema": schema}}},
            **_problems(417, 500, *statuses),
        },
    }


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _problems(*statuses: int, with_tokens: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in sorted(statuses):
        if status == 401 and not with_tokens:
            continue
        codes = [f"`{code}`: {says}" for code, (its, says) in CODES.items() if its == status]
        response: dict[str, Any] = {
            "description": "; ".join(codes),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        header = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}.get(status)
        if header is not None:
            text = "Seconds." if header == "Retry-After" else "The scheme."
            response["headers"] = {header: {"description": text, "required": True, "schema": {"type": "string"}}}
        found[str(status)] = response
    return found


def _schemas() -> dict[str, Schema]:
    place = {
        "type": "object",
        "properties": {
            "event_id": {"type": "string"},
            "partition": {"type": "integer", "minimum": 0},
            "offset": {"type": ["integer", "null"], "description": "null: Kafka had the event already."},
        },
        "required": ["event_id", "partition", "offset"],
    }
    error = {
        "type": "object",
        "properties": {
            "index": {"type": "integer", "minimum": 0, "description": "Of the event in the request, from 0."},
            "field": {"type": "string", "description": "Empty: the event as a whole."},
            "reason": {"type": "string", "description": f"One of {', '.join(REASONS)}."},
            "expected": {"type": "string"},
            "got": {"type": "string"},
        },
        "required": ["index", "field", "reason", "expected", "got"],
    }
    return {
        "Event": {
            "description": "docs/events.md is the contract. Unknown fields are ignored; null is absent.",
            "allOf": [{"$ref": "#/components/schemas/Fields"}, {"anyOf": _by_kind()}],
        },
        "Fields": _fields(),
        "Accepted": {
            "type": "object",
            "properties": {
                "accepted": {"type": "integer", "minimum": 1},
                "topic": {"type": "string"},
                "events": {"type": "array", "items": place, "description": "In the order of the request."},
            },
            "required": ["accepted", "topic", "events"],
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457.",
            "properties": {
                "status": {"type": "integer"},
                "title": {"type": "string"},
                "code": {"enum": list(CODES)},
                "detail": {"type": "string"},
                "errors": {"type": "array", "items": error, "maxItems": SHOWN},
            },
            "required": ["status", "title", "code", "detail", "errors"],
        },
    }


def _text(longest: int, pattern: str = _NO_CONTROL, *, optional: bool = True) -> Schema:
    kind: Any = ["string", "null"] if optional else "string"
    return {"type": kind, "minLength": 1, "maxLength": longest, "pattern": pattern}


def _time(*, optional: bool) -> Schema:
    forms: list[Schema] = [
        {"type": "integer", "minimum": MIN_TS, "maximum": MAX_TS, "description": "Milliseconds since 1970."},
        {"type": "string", "format": "date-time", "pattern": _RFC_3339},
    ]
    return {"anyOf": [*forms, {"type": "null"}] if optional else forms}


def _fields() -> Schema:
    fact = {"type": ["string", "number", "boolean", "null"], "minLength": 1, "maxLength": MAX_ATTRIBUTE_TEXT,
            "pattern": _NO_CONTROL}  # fmt: skip
    properties: dict[str, Schema] = {
        "event_id": _text(128, optional=False) | {"description": "Unique per customer; the same when sent again."},
        "customer_id": _text(128, _NOT_BLANK) | {"description": "Required but for lane control."},
        "ts": _time(optional=False) | {"description": "At most 5 minutes ahead of the intake's clock."},
        "kind": {"enum": list(KINDS)},
        "category": _text(64, _CATEGORY) | {"description": "Lower case, parts split by /; * when unknown."},
        **{name: _text(longest) for name, longest in TEXT.items()},
        **{name: _number(name) for name in NUMBERS},
        "attributes": {
            "description": "Of profile; ignored elsewhere.",
            "type": ["object", "null"],
            "maxProperties": MAX_ATTRIBUTES,
            "propertyNames": {"minLength": 1, "maxLength": MAX_ATTRIBUTE_NAME, "pattern": _NO_CONTROL},
            "additionalProperties": fact,
        },
        **{
            name: _text(longest, _NO_CONTROL_BUT_LINES if name == "reason" else _NO_CONTROL)
            for name, longest in CONTROL_TEXT.items()
        },
        "until": _time(optional=True),
        "body": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "object"}, {"type": "null"}]},
        "lane": {"type": ["integer", "null"], "minimum": 0},
        "lanes": {"type": ["integer", "null"], "minimum": 1},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["event_id", "ts", "kind"],
        "maxProperties": Limits().max_fields,
    }


def _number(name: str) -> Schema:
    low, high = NUMBERS[name]
    bounds = {"wait_s": {"minimum": low}, "value": {}}.get(name, {"minimum": low, "maximum": high})
    return {"type": ["number", "null"], **bounds}


def _by_kind() -> list[Schema]:
    """What each kind must have, kinds with the same needs together."""

    def variant(kinds: set[str] | frozenset[str], *required: str, **properties: Schema) -> Schema:
        given = {name: {"not": {"type": "null"}} for name in required}
        ordered = [kind for kind in KINDS if kind in kinds]
        return {"properties": {"kind": {"enum": ordered}, **given, **properties}, "required": [*required]}

    special = CATEGORY_REQUIRED | {"handling", "contract", "override"} | REF_REQUIRED | CONTROL_LANE
    nothing: Schema = {"type": "null"}
    return [
        variant(KINDS.keys() - special, "customer_id"),
        variant(CATEGORY_REQUIRED - {"feedback"}, "customer_id", "category"),
        variant({"feedback"}, "customer_id", "category", "score"),
        variant({"handling"}, "customer_id", step={"enum": [*sorted(HANDLING_STEPS), None]}),
        variant({"contract"}, "customer_id", step={"enum": [*sorted(CONTRACT_STEPS), None]}),
        variant(REF_REQUIRED & CONTROL_CUSTOMER - WORDS, "customer_id", "ref"),
        variant(
            {"ack"}, "customer_id", "ref", outcome={"enum": [*JUDGEMENTS, None]}, state={"enum": [*WORD_STATES, None]}
        ),
        # `until` is after `ts`, at most 180 d after it, which no schema says.
        variant({"snooze"}, "customer_id", "ref", state={"enum": [*WORD_STATES, None]})
        | {"if": {"properties": {"state": {"const": "down"}}, "required": ["state"]}, "else": {"required": ["until"]}},
        variant({"override"}, "customer_id", "flag", "state", state={"enum": sorted(OVERRIDE_STATES)}),
        variant(CONTROL_LANE, "lane", "lanes", customer_id=nothing),
    ]
