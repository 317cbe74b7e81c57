"""The worker's log: one line a record, place and reason, and nothing that a customer sent.

Our own loggers are written that way. Those of Faust, mode, aiokafka and asyncio are not: they print keys and values of
records (`DROPPED MESSAGE ... k=%r v=%r`), messages that could not be sent, and exceptions whose text quotes what they
failed on. What such a line is made of is looked at before it is made: numbers and names stay, the rest is named by its
type. Of an exception only the type and the place are written, unless its class is known to speak of places alone.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, Literal, TextIO, TypeAlias

import orjson
from aiokafka.errors import KafkaError

from engine.errors import HenjiError, InvalidEvent

__all__ = ["MAX_CHARS", "Form", "LineFormatter", "set_up_logging"]

Form: TypeAlias = Literal["text", "json"]
"""Of `worker.log`."""

MAX_CHARS = 2_000
"""Longest message; the rest is cut, and the cut shows."""

_OURS = ("engine", "models", "streams", "henji", "__main__")
# Held at INFO at least: below it, they print every record.
_CHATTY = ("aiokafka", "asyncio", "faust", "kafka", "mode")
_PLACES = ("topic", "partition", "offset", "lane")

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# Errors whose text names places: brokers, topics, keys of Redis, files, modules.
_SPEAKABLE = (HenjiError, KafkaError, OSError, ImportError)

_CONVERSION = re.compile(r"(?:(\w+)\s*[=:]\s*)?%(?:\((\w+)\))?[-#0 +]*(?:\d+|\*)?(?:\.(?:\d+|\*))?([a-zA-Z%])")
_PAYLOAD = frozenset({"body", "event", "events", "k", "key", "message", "messages", "record", "v", "val", "value"})

# For lines that come ready made. Of a message that was not sent, Kafka's own error (`[Error 10] ...`) stays.
_READY_MADE = (
    (re.compile(r"(_on_published error for .*? error )(?:(\[Error -?\d+\] .*?) message <|).*", re.S), r"\1\2..."),
    (re.compile(r"""\b[bB](['"])(?:\\.|(?!\1).)*\1""", re.S), "<bytes>"),
    (re.compile(r"""\b(k|v|key|value)=(?!<|%|None\b)\S.*""", re.S), r"\1=..."),
    (re.compile(r"""[{\[]\s*["'].*""", re.S), "..."),
    (re.compile(r"""\b(exception|result)=(?!None\b)(\w*).*""", re.S), r"\1=\2..."),
)


class LineFormatter(logging.Formatter):
    r"""Makes one line of a record: time, level, logger, place where there is one, message.

    Parameters
    ----------
    form
        `text`, or `json` for one object a line with the fields time, level, logger, message, and topic, partition,
        offset, lane and error where they are known.

    Examples
    --------
    >>> record = logging.LogRecord("streams.live", logging.INFO, "", 0, "opened\nat %s", ("ledger",), None)
    >>> record.partition, record.created = 3, 0
    >>> LineFormatter("text").format(record)
    '1970-01-01T00:00:00.000Z INFO streams.live partition=3: opened\\nat ledger'
    """

    def __init__(self, form: Form) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:23] + "Z",
            "level": record.levelname,
            "logger": record.name,
        }
        for name in _PLACES:
            value = getattr(record, name, None)
            if isinstance(value, int) or (name == "topic" and isinstance(value, str)):
                fields[name] = _printable(value) if isinstance(value, str) else int(value)
        fields["message"] = _printable(_message(record))
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields["error"] = _printable(_trace(error))
        return orjson.dumps(fields).decode() if self._form == "json" else _text(fields)


def set_up_logging(form: Form, stream: TextIO | None = None, level: int = logging.INFO) -> Callable[[], None]:
    """Send every log of this process through `LineFormatter`, and no other way.

    Call it after Faust was told not to set up logging itself (`Worker(..., override_logging=False,
    redirect_stdouts=False)`).

    Parameters
    ----------
    form
        See `LineFormatter`.
    stream
        Where to; standard error by default.
    level
        The least that is written; Faust, mode, aiokafka and asyncio are never below INFO.

    Returns
    -------
    Callable
        Brings back what was before.

    Examples
    --------
    >>> undo = set_up_logging("text", sys.stdout)
    >>> logging.getLogger("faust.topics").warning("DROPPED MESSAGE ROFF %r: k=%r v=%r", 42, b"anna", b"secret")
    2... WARNING faust.topics: DROPPED MESSAGE ROFF 42: k=<4 bytes> v=<6 bytes>
    >>> undo()
    """
    handler = _LineHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(LineFormatter(form))
    root = logging.getLogger()
    chatty = [logging.getLogger(name) for name in _CHATTY]
    before = [(logger, logger.level, list(logger.handlers), logger.propagate) for logger in (root, *chatty)]
    root.handlers[:] = [handler]
    root.setLevel(level)
    for logger in chatty:
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(level, logging.INFO))

    def undo() -> None:
        for logger, former_level, handlers, propagate in before:
            logger.setLevel(former_level)
            logger.handlers[:] = handlers
            logger.propagate = propagate

    return undo


class _LineHandler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        # The one of the standard library prints message and arguments to standard error.
        return


def _text(fields: Mapping[str, Any]) -> str:
    place = "".join(f" {name}={fields[name]}" for name in _PLACES if name in fields)
    error = f" [{fields['error']}]" if "error" in fields else ""
    return f"{fields['time']} {fields['level']} {fields['logger']}{place}: {fields['message']}{error}"


def _printable(text: str) -> str:
    cut = text if len(text) <= MAX_CHARS else text[:MAX_CHARS] + "..."
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), cut)


def _message(record: logging.LogRecord) -> str:
    ours = record.name.partition(".")[0] in _OURS
    template = str(record.msg) if isinstance(record.msg, str) else _shown(record.msg)
    args = record.args
    try:
        if not ours and args:
            args = _without_payload(template, args)
        text = template % args if args else template
    except Exception:
        # Whatever an argument's __str__ raises: a line that cannot be made must not stop who wanted to write it.
        return f"{template} (its arguments do not fit)"
    return text if ours else _cut(text)


def _without_payload(template: str, args: tuple[object, ...] | Mapping[str, object]) -> Any:
    if isinstance(args, Mapping):
        return {name: _Shown(value, hide=name in _PAYLOAD) for name, value in args.items()}
    labels = [found[1] or "" for found in _CONVERSION.finditer(template) if found[3] != "%"]
    labels += [""] * len(args)
    return tuple(
        value if isinstance(value, int | float) else _Shown(value, hide=label.lower() in _PAYLOAD)
        for value, label in zip(args, labels, strict=False)
    )


class _Shown:
    """Stands in for an argument; both of its texts are what may be seen of it."""

    def __init__(self, value: object, *, hide: bool) -> None:
        self._text = _named(value) if hide else _shown(value)

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


def _shown(value: object) -> str:
    """Numbers, names, classes and collections of these as they are; anything else by its type."""
    if value is None or isinstance(value, bool | int | float | str):
        return str(value)
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, BaseException):
        return _error_text(value)
    if isinstance(value, tuple | list | set | frozenset):
        return f"({', '.join(map(_shown, value))})"
    if isinstance(value, Mapping) and all(isinstance(key, tuple | int) for key in value):
        # Keyed by topic and partition; keyed by text it may be a record.
        return f"({', '.join(f'{_shown(key)}: {_shown(item)}' for key, item in value.items())})"
    return _named(value)


def _named(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return f"<{type(value).__name__}>"


def _cut(text: str) -> str:
    for pattern, instead in _READY_MADE:
        text = pattern.sub(instead, text)
    return text


def _error_text(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, _SPEAKABLE) and not isinstance(error, InvalidEvent) and str(error):
        return f"{name}: {error}"
    return name


def _trace(error: BaseException) -> str:
    """Each error of a chain with its place, the innermost call first; no lines of source."""
    parts = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = traceback.extract_tb(current.__traceback__)[::-1]
        calls = [f"{'/'.join(PurePath(frame.filename).parts[-2:])}:{frame.lineno} in {frame.name}" for frame in frames]
        parts.append(" < ".join([_error_text(current), *calls]))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return " | caused by ".join(parts)
