"""`henji webhooks`: alerts to other systems by HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path

import click
import orjson

from engine.errors import ConfigurationError, HenjiError, UsageError
from streams.cli.options import gather, redis_option, settings_options
from streams.cli.stores import redis_of
from streams.cli.webhooks_view import dead_table, status_table
from streams.cli.words import language, language_option
from streams.live.log import set_up_logging
from streams.redis.access import RedisAccess
from streams.redis.client import connect
from streams.redis.keys import BOARD_PREFIX, Keys
from streams.webhooks.answer import Answer, Verdict, verdict
from streams.webhooks.clock import WallClock
from streams.webhooks.courier import Courier
from streams.webhooks.dead_list import dead_messages, resend, resume, standing
from streams.webhooks.endpoint import Endpoint, WebhookFile
from streams.webhooks.endpoint_file import load_webhooks
from streams.webhooks.follower import Follower, StreamReader
from streams.webhooks.message import ping_body
from streams.webhooks.sender import Sender
from streams.webhooks.spool import Spool

__all__ = ["command"]

_PATH = click.Path(path_type=Path, dir_okay=False)
_endpoints_option = click.option(
    "--endpoints", "file", type=_PATH, default=Path("webhooks.toml"), metavar="FILE", show_default=True,
    help="The receivers.",
)  # fmt: skip
_spool_option = click.option(
    "--spool", "spool_file", type=_PATH, required=True, metavar="FILE.sqlite",
    help="What waits, what is dead, and how far the stream was read.",
)  # fmt: skip
_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@click.group("webhooks")
def command() -> None:
    r"""Send alerts to other systems by HTTP, signed, in order per alert, until they are taken.

    \b
      henji webhooks check webhooks.toml                                   is the file of receivers right?
      henji webhooks test crm --endpoints webhooks.toml                    send a signed ping to one
      henji webhooks run --redis URL --endpoints webhooks.toml --spool hooks.sqlite
      henji webhooks status --spool hooks.sqlite                           how the receivers fare
      henji webhooks dead --spool hooks.sqlite                             what was given up
      henji webhooks resend 17 18 --spool hooks.sqlite                     and once more
    """


@command.command("run")
@settings_options
@redis_option
@click.option("--prefix", default=BOARD_PREFIX, show_default=True, metavar="PREFIX", help="Of the board.")
@_endpoints_option
@_spool_option
@click.option("--begin", type=click.Choice(["now", "earliest"]), default="now", show_default=True,
              help="Where a new spool begins in the stream.")  # fmt: skip
def run(
    settings_file: Path | None,
    pairs: tuple[str, ...],
    redis_url: str | None,
    prefix: str,
    file: Path,
    spool_file: Path,
    begin: str,
) -> None:
    r"""Follow the stream of alerts and deliver it, for as long as it runs.

    A process of its own: a receiver that is down or slow costs room in the spool, and nothing else. What was taken into
    the spool survives any crash. SIGTERM finishes what is under way.

    \b
      henji webhooks run --redis redis://localhost:6379 --endpoints webhooks.toml --spool hooks.sqlite
    """
    settings = gather(settings_file, pairs, redis=("redis.url", redis_url))
    where = redis_of(settings)
    if isinstance(where, str):
        raise ConfigurationError(
            f"redis.url ({settings.origins['redis.url']}): expected a URL of Redis, got {where}; give --redis URL"
        )
    keys = Keys(prefix)
    found = load_webhooks(file)
    set_up_logging(settings["worker.log"])
    with Spool(spool_file, create=True, own=True) as spool:
        asyncio.run(_run(where, keys, found, spool, begin))


async def _run(where: RedisAccess, keys: Keys, found: WebhookFile, spool: Spool, begin: str) -> None:
    clock, client = WallClock(), connect(where)
    # Receivers compare the time of a signature with their clocks, so that one is the machine's as it stands.
    couriers = {each.name: Courier(each, os.environ, _now_ms) for each in found.endpoints}
    sender = Sender(spool, found, couriers, clock)
    follower = Follower(StreamReader(client, keys), sender, spool, clock)
    stopping = asyncio.Event()

    def stop() -> None:
        stopping.set()
        sender.halt()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    following: asyncio.Task[None] | None = None
    try:
        await follower.begin(keys.alerts, begin)
        await sender.start()
        following = asyncio.create_task(follower.run(stopping))
        watching = asyncio.create_task(sender.watch())
        click.echo(f"henji webhooks: {len(found.endpoints)} endpoints, stream {keys.alerts}")
        await asyncio.wait([following, watching], return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        watching.cancel()
        await following
    finally:
        stop()
        if following is not None:
            # A read that is under way in its thread comes back within a second.
            await asyncio.wait([following])
        await sender.stop()
        client.close()


@command.command("check")
@click.argument("file", type=_PATH)
@_json_option
def check(file: Path, as_json: bool) -> None:
    """Prove that a file of receivers is right, with the secrets and certificates that it names. Sends nothing."""
    found = load_webhooks(file)
    for endpoint in found.endpoints:
        Courier(endpoint, os.environ, _now_ms)
    if as_json:
        rows = [{"name": each.name, "url": each.url, "secrets": len(each.secrets)} for each in found.endpoints]
        click.echo(orjson.dumps({"endpoints": rows}).decode())
        return
    for each in found.endpoints:
        click.echo(f"{each.name}: {each.url}, {len(each.secrets)} secrets")


@command.command("test")
@click.argument("name")
@_endpoints_option
@_json_option
def try_endpoint(name: str, file: Path, as_json: bool) -> None:
    """Send a signed ping (`henji.ping`) to a receiver, and show what it answers. Exit code 1 unless it is 2xx."""
    endpoint = _endpoint(load_webhooks(file), name)
    answer = asyncio.run(_ping(endpoint))
    delivered = verdict(answer) is Verdict.DELIVERED
    if as_json:
        click.echo(orjson.dumps({"endpoint": name, "delivered": delivered, **asdict(answer)}).decode())
        click.get_current_context().exit(0 if delivered else 1)
    if delivered:
        click.echo(f"{name}: {answer.why} in {answer.took_ms} ms")
    else:
        raise HenjiError(f"webhooks test {name}: expected an answer 2xx of {endpoint.origin}, got {answer.why}")


async def _ping(endpoint: Endpoint) -> Answer:
    at = _now_ms()
    async with Courier(endpoint, os.environ, _now_ms) as courier:
        return await courier.post(f"ping:{at}", ping_body(endpoint.name, at))


def _endpoint(found: WebhookFile, name: str) -> Endpoint:
    for each in found.endpoints:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in found.endpoints)
    raise UsageError(f"NAME: expected an endpoint of {found.source} ({names}), got {name}")


@command.command("status")
@_spool_option
@_json_option
@language_option
def status(spool_file: Path, as_json: bool, lang: str | None) -> None:
    """Show how the receivers fare, and whether anything was missed. Also while the sender runs."""
    with Spool(spool_file) as spool:
        found = standing(spool, _now_ms())
    if as_json:
        click.echo(orjson.dumps(asdict(found)).decode())
    else:
        status_table(found, _now_ms(), language(lang))


@command.command("dead")
@_spool_option
@click.option("--endpoint", metavar="NAME", help="Of one receiver only.")
@_json_option
@language_option
def dead(spool_file: Path, endpoint: str | None, as_json: bool, lang: str | None) -> None:
    """List what was given up: refused, or tried too often or too long."""
    with Spool(spool_file) as spool:
        found = dead_messages(spool, endpoint)
    if as_json:
        for each in found:
            click.echo(orjson.dumps(asdict(each)).decode())
    else:
        dead_table(found, language(lang))


@command.command("resend")
@_spool_option
@click.argument("ids", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All of the dead list.")
@click.option("--endpoint", metavar="NAME", help="With --all: of one receiver only.")
def send_again(spool_file: Path, ids: tuple[int, ...], everything: bool, endpoint: str | None) -> None:
    """Let messages of the dead list (ids as `dead` shows them) be tried again, with the same idempotency key.

    A sender that runs takes them up within a second, else the next one does.
    """
    if everything == bool(ids):
        raise click.UsageError("resend: expected either ids or --all")
    with Spool(spool_file) as spool:
        n = resend(spool, None if everything else ids, endpoint, _now_ms())
    click.echo(f"{n} messages wait again")


@command.command("resume")
@_spool_option
@click.argument("name")
def go_on(spool_file: Path, name: str) -> None:
    """Let a receiver be tried again at once that was paused or had said 410."""
    with Spool(spool_file) as spool:
        resume(spool, name)
    click.echo(f"{name}: resumed")
