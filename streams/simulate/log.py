"""Writing a simulated log and its ground truth to files."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import orjson
import zstandard

from engine.errors import ConfigurationError
from streams.simulate.campus import Campus
from streams.simulate.delivery import broken_line
from streams.simulate.settings import SimulationSettings

__all__ = ["Summary", "write_log"]

_CHUNK = 1 << 20


@dataclass(slots=True)
class Summary:
    """What was written.

    Parameters
    ----------
    lines
        Lines of the log: events + duplicates + bad.
    events, customers
        Distinct events, and people.
    kinds
        Kind -> number of lines (bad ones not).
    leavers, expected, warned, returned
        Who left within the log; of them as expected, with warning, and who came back.
    disordered, late, duplicates, bad
        What went wrong on the way.
    from_ms, to_ms
        The span of the log, ms.
    activity
        Factor on visits that the number of events asked for.
    """

    lines: int = 0
    events: int = 0
    customers: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    leavers: int = 0
    expected: int = 0
    warned: int = 0
    returned: int = 0
    disordered: int = 0
    late: int = 0
    duplicates: int = 0
    bad: int = 0
    from_ms: int = 0
    to_ms: int = 0
    activity: float = 1.0


def write_log(
    settings: SimulationSettings,
    out: Path,
    truth: Path,
    progress: Callable[[float, int], None] | None = None,
) -> Summary:
    """Write the log and its ground truth as JSON lines, compressed if the name ends in `.gz` or `.zst`.

    The same settings give the same bytes. Files appear under their names only when they are complete.

    Parameters
    ----------
    settings
        What to simulate.
    out, truth
        Where to write; existing files are replaced.
    progress
        Is called after every simulated day with the share of the days that is over (0 to 1) and the lines so far.

    Raises
    ------
    ConfigurationError
        Both names are the same file, or one cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log, truth = Path(folder) / "log.jsonl.gz", Path(folder) / "truth.jsonl"
    ...     summary = write_log(SimulationSettings(customers=5, days=3), log, truth)
    ...     summary.customers, len(gzip.decompress(log.read_bytes()).splitlines()) == summary.lines
    (5, True)
    """
    if out.resolve() == truth.resolve():
        raise ConfigurationError(f"truth: expected another file than the log, got {truth}; give two names")
    campus = Campus(settings)
    summary = Summary(customers=campus.customers, activity=campus.activity)
    summary.from_ms, summary.to_ms = campus.plan.start_ms, campus.plan.end_ms
    with ExitStack() as stack:
        log = stack.enter_context(_complete(out))
        _write_events(campus, log, summary, progress)
        _write_truth(campus, stack.enter_context(_complete(truth)), summary)
    return summary


def _write_events(
    campus: Campus, log: IO[bytes], summary: Summary, progress: Callable[[float, int], None] | None
) -> None:
    kinds: Counter[str] = Counter()
    chunk = bytearray()

    def on_day(days: int) -> None:
        if progress is not None:
            progress(days / campus.settings.days, summary.lines)

    for event in campus.events(on_day):
        bad = broken_line(event, campus.settings)
        if bad is not None:
            campus.deliveries.bad += 1
            summary.lines += 1
            chunk += bad + b"\n"
        summary.lines += 1
        kinds[event["kind"]] += 1
        chunk += orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
        if len(chunk) >= _CHUNK:
            log.write(chunk)
            chunk = bytearray()
    log.write(chunk)
    summary.kinds = dict(sorted(kinds.items()))
    summary.events = campus.n_events
    counts = campus.deliveries
    summary.disordered, summary.late = counts.disordered, counts.late
    summary.duplicates, summary.bad = counts.duplicates, counts.bad


def _write_truth(campus: Campus, file: IO[bytes], summary: Summary) -> None:
    for row in campus.truth():
        file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        if row["type"] == "customer" and row["leaves"]:
            summary.leavers += 1
            summary.expected += row["expected"]
            summary.warned += row["warned"]
            summary.returned += row["returned_at"] is not None


@contextmanager
def _complete(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is complete, compressed as its name says."""
    part = path.with_name(path.name + ".part")
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(part.open("wb"))
            file: IO[bytes] = raw
            if path.suffix == ".gz":
                # No name and no time in the header: the same log gives the same bytes.
                zipped = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0)
                file = cast(IO[bytes], stack.enter_context(zipped))
            elif path.suffix == ".zst":
                writer = zstandard.ZstdCompressor(level=6).stream_writer(raw, closefd=False)
                file = cast(IO[bytes], stack.enter_context(writer))
            yield file
        part.replace(path)
    except OSError as error:
        message = f"{path}: expected a file that can be written, got {error.strerror or error}; choose another place"
        raise ConfigurationError(message) from error
    finally:
        part.unlink(missing_ok=True)
