"""`henji dlq`: the dead letters and the late events: what there is, what it says, and sending it again."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import orjson

from engine.decode import REASONS
from engine.errors import HenjiError, UsageError
from streams.cli.letters import letter_facts, print_letter, printable, whole_facts
from streams.cli.options import gather, kafka_option, settings_options
from streams.cli.progress import progress
from streams.cli.report import at_text
from streams.kafka.connection import Connection, TopicNames
from streams.kafka.dead_letter import LATE, DeadLetter, Place
from streams.kafka.dead_letter_log import LetterLog, Stored
from streams.kafka.dead_letter_replay import Replayer, why_held
from streams.settings import Settings

__all__ = ["command"]

_TOLD = REASONS | {LATE: "the event is older than the lane clock by more than `lateness`"}
_HELD = {"cut": "its letter holds only its beginning", "tombstone": "it has neither key nor value"}

_reason_option = click.option(
    "--reason", "reasons", multiple=True, type=click.Choice([*_TOLD]), metavar="CODE",
    help="Only letters of this reason, such as kind; may be given several times.",
)  # fmt: skip
_late_option = click.option("--late", is_flag=True, help="The late topic instead of the dead letters.")
_topic_option = click.option("--topic", metavar="TOPIC", help="The events topic. [setting: kafka.topic]")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("dlq")
def command() -> None:
    r"""Dead letters: records that were not applied, kept with their raw bytes and the reason.

    \b
      henji dlq list --kafka localhost:9092                how many, why, and the newest
      henji dlq show events/3/88121                        one of them, with its bytes
      henji dlq replay --reason engine --dry-run           what would be sent again

    A letter is named by the place of its record, TOPIC/PARTITION/OFFSET. It is open until it was replayed. What is
    wrong and what to do about it is in the reason; docs/events.md lists them all. --late looks at late events.
    """


@dataclass(slots=True)
class _Listing:
    """What a topic of letters holds."""

    limit: int
    open: Counter[str] = field(default_factory=Counter)
    n_resolved: int = 0
    newest: list[tuple[int, int, Stored]] = field(default_factory=list)

    def add(self, stored: Stored) -> None:
        if stored.resolved is not None:
            self.n_resolved += 1
            return
        self.open[stored.letter.reason] += 1
        # The running number keeps two of one time in the order in which they came.
        entry = (stored.stored_ms, self.open.total(), stored._replace(letter=_without_bytes(stored.letter)))
        if len(self.newest) < self.limit:
            heapq.heappush(self.newest, entry)
        elif self.limit:
            heapq.heappushpop(self.newest, entry)


def _without_bytes(letter: DeadLetter) -> DeadLetter:
    """A listing shows no bytes: only how many there are is kept."""
    n_bytes = len(letter.raw or b"") if letter.whole_bytes < 0 else letter.whole_bytes
    return letter._replace(raw=None, key=None, whole_bytes=n_bytes)


@command.command("list")
@kafka_option
@_topic_option
@_late_option
@_reason_option
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, metavar="N",
              help="How many of the newest to print; the counts have all.")  # fmt: skip
@settings_options
@_json_option
def list_(
    brokers: str | None,
    topic: str | None,
    late: bool,
    reasons: tuple[str, ...],
    limit: int,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""List the open letters: counts by reason, then the newest first. Each letter once, however often it was written.

    \b
      henji dlq list --kafka localhost:9092 --reason kind --limit 5
    """
    settings = gather(settings_file, pairs, kafka=("kafka.brokers", brokers), topic=("kafka.topic", topic))
    listing = _Listing(limit)

    def take(stored: Stored) -> None:
        if not reasons or stored.letter.reason in reasons:
            listing.add(stored)

    name = _letters_topic(settings, late)
    n_foreign = asyncio.run(_each(settings, name, take, quiet=as_json))
    newest = [stored for _, _, stored in sorted(listing.newest, reverse=True)]
    if as_json:
        facts = {
            "topic": name,
            "open": listing.open.total(),
            "resolved": listing.n_resolved,
            "foreign": n_foreign,
            "reasons": dict(listing.open.most_common()),
            "letters": [letter_facts(stored) for stored in newest],
        }
        click.echo(orjson.dumps(facts).decode())
        return
    _print_listing(name, listing, n_foreign, newest)


def _print_listing(name: str, listing: _Listing, n_foreign: int, newest: list[Stored]) -> None:
    click.echo(f"{name}: {listing.open.total():,} open, {listing.n_resolved:,} replayed")
    if n_foreign:
        click.echo(f"{n_foreign:,} records of this topic are no letters of this version and are left out")
    for reason, n_letters in listing.open.most_common():
        click.echo(f"{n_letters:>10,}  {reason:<16}  {_TOLD.get(reason, 'a reason of a newer version')}")
    if newest:
        click.echo("newest first:")
    for letter, stored_ms, _ in newest:
        click.echo(f"  {at_text(stored_ms)}  {letter.place}  {letter.reason}  {printable(letter.message)}")


@command.command("show")
@click.argument("place", metavar="PLACE")
@kafka_option
@_topic_option
@_late_option
@click.option("--raw", "only_raw", is_flag=True, help="Print the bytes of the record and nothing else.")
@settings_options
@_json_option
def show(
    place: str,
    brokers: str | None,
    topic: str | None,
    late: bool,
    only_raw: bool,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""Show one letter, open or not: its headers and its bytes, as text where they are text, else in hex.

    \b
      henji dlq show events/3/88121 --kafka localhost:9092
      henji dlq show events/3/88121 --raw > record

    PLACE is TOPIC/PARTITION/OFFSET, as `henji dlq list` and the log of the worker name it. Bytes are data of customers.
    """
    settings = gather(settings_file, pairs, kafka=("kafka.brokers", brokers), topic=("kafka.topic", topic))
    wanted = _place(place)
    found: list[Stored] = []

    def take(stored: Stored) -> None:
        if stored.letter.place == wanted:
            found.append(stored)

    name = _letters_topic(settings, late)
    asyncio.run(_each(settings, name, take, quiet=as_json or only_raw))
    if not found:
        raise HenjiError(f"{name}: expected a letter of {wanted}, got none; {_elsewhere(late)}")
    letter = found[0].letter
    if only_raw:
        click.echo(letter.raw or b"", nl=False)
    elif as_json:
        click.echo(orjson.dumps(whole_facts(found[0])).decode())
    else:
        print_letter(found[0])


@command.command("replay")
@click.argument("places", nargs=-1, metavar="[PLACE...]")
@kafka_option
@_topic_option
@_late_option
@_reason_option
@click.option("--all", "all_", is_flag=True, help="Every open letter.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--force", is_flag=True, help="Send also what would come back as a letter.")
@settings_options
@_json_option
def replay(places: tuple[str, ...], late: bool, dry_run: bool, force: bool, as_json: bool, **given: Any) -> None:
    r"""Send open letters to the events topic again, their bytes unchanged, and then mark them as replayed.

    \b
      henji dlq replay events/3/88121 --kafka localhost:9092
      henji dlq replay --reason engine --dry-run
      henji dlq replay --all

    The key is the one they had; a record without one, or with a wrong one, gets the id of its customer. What this
    version would refuse again is held back and stays open: --force sends it all the same. It is safe to run this
    again after a failure: an event that was sent twice is applied once.

    Late events would be late again, so --late needs --force; it helps when lateness was raised, with a new ledger.
    """
    options = {"kafka": ("kafka.brokers", given["brokers"]), "topic": ("kafka.topic", given["topic"])}
    settings = gather(given["settings_file"], given["pairs"], **options)
    reasons: tuple[str, ...] = given["reasons"]
    if bool(places) + bool(reasons) + given["all_"] != 1:
        raise UsageError("expected one of PLACE, --reason or --all, got none or several; see `henji dlq list`")
    if late and not force:
        raise UsageError(
            "--late: expected --force with it, since these events are still older than the lane clock by more than "
            "lateness and would be late again; raise lateness and start a new ledger first"
        )
    wanted = {_place(place) for place in places}
    job = _Replay(_letters_topic(settings, late), TopicNames.of(settings).events, dry_run, force)

    def select(letter: DeadLetter) -> bool:
        return letter.place in wanted if wanted else not reasons or letter.reason in reasons

    asyncio.run(job.run(settings, select, quiet=as_json))
    missing = sorted(wanted - job.found)
    if as_json:
        click.echo(orjson.dumps(job.facts() | {"not_found": [str(place) for place in missing]}).decode())
    else:
        job.print()
    if missing:
        named = ", ".join(map(str, missing))
        raise HenjiError(f"{job.letters}: expected open letters of {named}, got none; {_elsewhere(late)}")


@dataclass(slots=True)
class _Replay:
    """One run of `henji dlq replay`."""

    letters: str
    events: str
    dry_run: bool
    force: bool
    sent: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    found: set[Place] = field(default_factory=set)

    async def run(self, settings: Settings, select: Callable[[DeadLetter], bool], *, quiet: bool) -> None:
        connection = Connection.of(settings)
        with progress(f"replaying {self.letters}", quiet) as on_progress:
            async with LetterLog(connection, self.letters) as log, aclosing(log.letters(on_progress)) as all_letters:
                if self.dry_run:
                    async for stored in all_letters:
                        if self._takes(stored, select):
                            self.sent[stored.letter.reason] += 1
                    return
                async with Replayer(connection, self.events, self.letters) as replayer:
                    async for stored in all_letters:
                        if self._takes(stored, select):
                            await replayer.add(stored.letter)
                self.sent = replayer.sent

    def _takes(self, stored: Stored, select: Callable[[DeadLetter], bool]) -> bool:
        letter = stored.letter
        if stored.resolved is not None or not select(letter):
            return False
        self.found.add(letter.place)
        held = why_held(letter, now_ms=time.time_ns() // 1_000_000, force=self.force)
        if held is not None:
            self.held[held] += 1
        return held is None

    def facts(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "topic": self.letters,
            "to": self.events,
            "dry_run": self.dry_run,
            "sent": self.sent.total(),
            "sent_by_reason": dict(self.sent.most_common()),
            "held_back": self.held.total(),
            "held_back_by_reason": dict(self.held.most_common()),
        }

    def print(self) -> None:
        """For people."""
        what = "would be sent" if self.dry_run else "sent"
        click.echo(f"{self.sent.total():,} letters {what} to {self.events}")
        for reason, n_letters in self.sent.most_common():
            click.echo(f"{n_letters:>10,}  {reason}")
        if self.held:
            click.echo(f"{self.held.total():,} held back, which this version would refuse again (see --force)")
        for reason, n_letters in self.held.most_common():
            click.echo(f"{n_letters:>10,}  {reason:<16}  {_HELD.get(reason) or _TOLD[reason]}")


async def _each(settings: Settings, topic: str, take: Callable[[Stored], None], *, quiet: bool) -> int:
    """Hand every letter of a topic to `take`; returns how many records are none."""
    with progress(f"reading {topic}", quiet) as on_progress:
        async with LetterLog(Connection.of(settings), topic) as log, aclosing(log.letters(on_progress)) as letters:
            async for stored in letters:
                take(stored)
            return log.n_foreign


def _letters_topic(settings: Settings, late: bool) -> str:
    names = TopicNames.of(settings)
    return names.late if late else names.dead


def _place(text: str) -> Place:
    try:
        return Place.parse(text)
    except ValueError as error:
        raise UsageError(f"PLACE: {error}") from None


def _elsewhere(late: bool) -> str:
    other = "without --late for dead letters" if late else "--late for late events"
    return f"see `henji dlq list`, {other}; letters are kept for a week"
