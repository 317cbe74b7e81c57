"""What a person says of an alert, sent through the intake: acknowledged, snoozed, useful or not."""

from __future__ import annotations

import http.client
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import orjson

from engine.duration import DAY_MS, parse_duration
from engine.errors import HenjiError, RecoverableError, UsageError
from engine.event import JUDGEMENTS, MAX_SNOOZE_MS
from streams.cli.alerts_view import plain
from streams.cli.options import gather, prefix_option, redis_option
from streams.cli.stores import one_board, open_redis, redis_of
from streams.cli.words import language, word
from streams.client import RiskBoard

__all__ = ["ack", "outcome", "send_event", "snooze"]

_TIMEOUT_S = 15.0  # the intake itself waits for Kafka
_ANSWER_BYTES = 65_536


def _said_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((
        click.argument("alert_id", metavar="ALERT_ID"),
        click.option("--intake", required=True, metavar="URL", help="Of a `henji intake`, such as http://HOST:6068."),
        click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                     help="Holds a control token of the intake."),
        click.option("--by", required=True, metavar="NAME", help="Who says so."),
        click.option("--down", is_flag=True, help="Take it back."),
        redis_option,
        prefix_option,
        click.option("--json", "as_json", is_flag=True, help="Print the event that was sent."),
        click.pass_context,
    )):  # fmt: skip
        command = option(command)
    return command


@click.command("ack")
@_said_options
def ack(
    ctx: click.Context, alert_id: str, intake: str, token_file: Path | None, by: str, down: bool,
    redis_url: str | None, prefix: str | None, as_json: bool,
) -> None:  # fmt: skip
    r"""Acknowledge an alert: somebody has it, it leaves the waiting part of the queue.

    \b
      henji alerts ack 00112233445566ff --intake http://localhost:6068 --by ann
    """
    fields = {"kind": "ack"} | ({"state": "down"} if down else {})
    _say(ctx, alert_id, fields, (intake, token_file, by), (redis_url, prefix), as_json=as_json)


@click.command("snooze")
@_said_options
@click.argument("length", metavar="TIME", required=False)
@click.option("--reason", metavar="TEXT", help="Why.")
def snooze(
    ctx: click.Context, alert_id: str, intake: str, token_file: Path | None, by: str, down: bool,
    redis_url: str | None, prefix: str | None, as_json: bool, length: str | None, reason: str | None,
) -> None:  # fmt: skip
    r"""Hold an alert back for a TIME such as 4h or 2d, at most 180d; a worse severity wakes it at once.

    \b
      henji alerts snooze 00112233445566ff 4h --reason "spare part ordered" --intake http://localhost:6068 --by ann
    """
    fields: dict[str, Any] = {"kind": "snooze"}
    if down:
        fields["state"] = "down"
    elif length is None or reason is None:
        raise click.UsageError("snooze: expected TIME and --reason TEXT (or --down), got neither or one; give both")
    else:
        fields |= {"for_ms": _snooze_ms(length), "reason": reason}
    _say(ctx, alert_id, fields, (intake, token_file, by), (redis_url, prefix), as_json=as_json)


@click.command("outcome")
@_said_options
@click.argument("judgement", type=click.Choice(JUDGEMENTS), required=False)
def outcome(
    ctx: click.Context, alert_id: str, intake: str, token_file: Path | None, by: str, down: bool,
    redis_url: str | None, prefix: str | None, as_json: bool, judgement: str | None,
) -> None:  # fmt: skip
    r"""Judge an alert, open or closed lately: it was useful, or not_useful.

    \b
      henji alerts outcome 00112233445566ff useful --intake http://localhost:6068 --by ann
    """
    if judgement is None and not down:
        raise click.UsageError(f"outcome: expected {' or '.join(JUDGEMENTS)} (or --down), got nothing; say which")
    fields = {"kind": "ack", "outcome": judgement or JUDGEMENTS[0]} | ({"state": "down"} if down else {})
    _say(ctx, alert_id, fields, (intake, token_file, by), (redis_url, prefix), as_json=as_json)


def _snooze_ms(length: str) -> int:
    try:
        for_ms = parse_duration(length)
    except ValueError as error:
        raise click.UsageError(f"snooze: {error}") from error
    if for_ms > MAX_SNOOZE_MS:
        raise click.UsageError(f"snooze: expected at most {MAX_SNOOZE_MS // DAY_MS}d, got {length}")
    return for_ms


def _say(
    ctx: click.Context,
    alert_id: str,
    fields: dict[str, Any],
    sender: tuple[str, Path | None, str],
    board: tuple[str | None, str | None],
    *,
    as_json: bool,
) -> None:
    redis_url, prefix, settings_file, pairs, lang = ctx.obj
    intake, token_file, by = sender
    where = redis_of(gather(settings_file, pairs, redis=("redis.url", board[0] or redis_url)))
    if isinstance(where, str):
        raise click.UsageError(f"--redis: expected the URL of a Redis that holds a board, got {where}")
    with open_redis(where) as client:
        state = RiskBoard(client, one_board(client, board[1] or prefix)).alert(alert_id)
    if state is None:
        click.echo(
            f"henji: alert {alert_id!r}: expected one that is open or was closed in the last 14 days, got one that the "
            "board does not know; `henji alerts` lists them",
            err=True,
        )
        raise click.exceptions.Exit(1)
    now = time.time_ns() // 1_000_000
    event = {"event_id": str(uuid.uuid4()), "customer_id": state.customer_id, "ts": now, "ref": alert_id, "by": by}
    if "for_ms" in fields:
        fields["until"] = now + fields.pop("for_ms")
    event |= fields
    send_event(intake, _token(token_file), event)
    if as_json:
        click.echo(orjson.dumps(event).decode())
    else:
        click.echo(f"{word('sent', language(lang))}: {event['event_id']} ({plain(state.customer_id)}, {state.flag})")


def send_event(url: str, token: str | None, event: dict[str, Any]) -> None:
    """Give one event to an intake; when this returns, Kafka has it.

    Parameters
    ----------
    url
        Of the intake, without `/events`.
    token
        A control token; `None`: the intake asks for none.
    event
        Of the contract.

    Raises
    ------
    UsageError
        If the URL is none, or the intake does not know the token.
    RecoverableError
        If the intake does not answer or cannot take it now; the same event may be sent again.
    HenjiError
        If it refuses the event.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"--intake: expected http(s)://HOST:PORT, got {url!r}; give the address of a henji intake")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", f"{parts.path.rstrip('/')}/events", orjson.dumps([event]), headers)
        answer = connection.getresponse()
        status, said = answer.status, answer.read(_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise RecoverableError(
            f"--intake {url}: expected an answer, got {type(error).__name__}: {error}; is it running? Try again"
        ) from error
    finally:
        connection.close()
    if status == 202:
        return
    detail = _detail(said)
    if status in (401, 403):
        raise UsageError(f"--token-file: expected a control token of the intake, got {status}: {detail}; give one")
    if status in (408, 429) or status >= 500:
        raise RecoverableError(f"--intake {url}: expected it to take the event, got {status}: {detail}; try again")
    raise HenjiError(f"--intake {url}: expected it to take the event, got {status}: {detail}")


def _detail(said: bytes) -> str:
    """What the intake says is wrong, as far as it is one."""
    try:
        told = orjson.loads(said)
        errors = [f"{each['field']}: expected {each['expected']}, got {each['got']}" for each in told["errors"]]
        return plain("; ".join([str(told["detail"]), *errors]))[:500]
    except (ValueError, KeyError, TypeError):
        return "no answer of an intake"


def _token(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        token = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file: expected a readable file with one token, got {type(error).__name__}") from None
    # A line of the intake's own file is taken as well: NAME:control:TOKEN.
    token = token.rpartition(":")[2]
    if not token or any(not 33 <= ord(char) < 127 for char in token):
        raise UsageError("--token-file: expected one token on one line, got another text")
    return token
