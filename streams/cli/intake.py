"""`henji intake`: events over HTTP."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
import uvloop

from engine.errors import ConfigurationError
from streams.cli.options import gather, settings_options
from streams.intake.outlet import Outlet
from streams.intake.server import IntakeServer
from streams.intake.tokens import TokenFile
from streams.kafka.connection import Connection, TopicNames
from streams.live.log import set_up_logging
from streams.settings import Settings

__all__ = ["command"]

# Under way at one time: some requests of the longest size, and many small ones.
_MOST_BYTES = 64 * 1024**2


@click.command("intake")
@settings_options
@click.option("--kafka", "brokers", metavar="LIST", help="HOST:PORT,HOST:PORT,... [setting: kafka.brokers]")
@click.option("--topic", metavar="TOPIC", help="Where to. [setting: kafka.topic]")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen. [setting: intake.listen]")
@click.option("--token-file", metavar="FILE", help="Who may send. [setting: intake.token_file]")
def command(
    settings_file: Path | None,
    pairs: tuple[str, ...],
    brokers: str | None,
    topic: str | None,
    listen: str | None,
    token_file: str | None,
) -> None:
    r"""Take events over HTTP and give them to Kafka, for systems that cannot speak Kafka well.

    POST /events takes one event, an array, or one a line, and answers 202 when Kafka has acknowledged all of them.
    /openapi.json says the rest; /live and /ready are for probes. SIGTERM finishes what was accepted.

    \b
      henji intake --token-file tokens
      henji intake --listen 127.0.0.1:6068 --kafka localhost:9092
    """
    settings = gather(
        settings_file,
        pairs,
        brokers=("kafka.brokers", brokers),
        topic=("kafka.topic", topic),
        listen=("intake.listen", listen),
        token_file=("intake.token_file", token_file),
    )
    if not settings["intake.listen"]:
        raise ConfigurationError(
            f"intake.listen ({settings.origins['intake.listen']}): expected HOST:PORT for an intake, got off"
        )
    set_up_logging(settings["worker.log"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    path = settings["intake.token_file"]
    tokens = TokenFile(Path(path), settings.origins["intake.token_file"]) if path else None
    max_bytes: int = settings["intake.max_bytes"]
    outlet = Outlet(Connection.of(settings), TopicNames.of(settings).events, most_bytes=max(_MOST_BYTES, 2 * max_bytes))
    server = IntakeServer(settings["intake.listen"], outlet, tokens, max_bytes=max_bytes)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await outlet.start()
        await server.start()
        click.echo(f"henji intake: {server.url}")
        await stop.wait()
    finally:
        await server.stop()
        await outlet.close()
