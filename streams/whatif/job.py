"""One pass over the log: a variant through the engine, or what became of the customers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from engine.desk import Desk
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.settings import ResultSettings
from engine.vocabulary import Vocabulary
from streams.ledger import NOTHING_OUT, Binding, Outbox, Position
from streams.memory_ledger import MemoryLedger
from streams.reader.log import LogReader, open_log
from streams.reader.topic import TopicLog
from streams.replay.outputs import Outputs
from streams.replay.run import Replay
from streams.settings import Settings
from streams.whatif.past import Past
from streams.whatif.tally import Tally

__all__ = ["Input", "Job", "OnBatch", "PastJob", "VariantJob"]

OnBatch = Callable[[float, int], None]
"""Called with the share of the log that is read (0 to 1) and the number of records so far."""


@dataclass(frozen=True, slots=True)
class Input:
    """The log, in a form that travels to another process.

    Parameters
    ----------
    files
        Paths, in order; empty for a topic.
    vocabulary
        Translates an organisation's own words.
    sort
        All files together in order of event time.
    topic
        Settings of Kafka, and which offsets of the topic the log is; `None` for files.
    batch_size
        Records per batch; changes no answer.
    """

    files: tuple[str, ...]
    vocabulary: Vocabulary | None = None
    sort: bool = False
    topic: tuple[Settings, str] | None = None
    batch_size: int = 2000

    @contextmanager
    def open(self) -> Iterator[LogReader | TopicLog]:
        """The log from its beginning."""
        if self.topic is None:
            yield open_log(self.files, vocabulary=self.vocabulary, sort=self.sort, batch_size=self.batch_size)
            return
        settings, extents = self.topic
        with TopicLog.of(settings, batch_size=self.batch_size) as topic:
            # A topic grows; all passes must read the same records.
            topic.resume(extents)
            yield topic


@dataclass(frozen=True, slots=True)
class VariantJob:
    """A replay under one set of rules.

    Parameters
    ----------
    log
        What is replayed.
    settings, rules, desk
        What the answers depend on.
    """

    log: Input
    settings: ResultSettings
    rules: RuleSet
    desk: Desk

    def run(self, on_batch: OnBatch) -> Tally:
        """Replay the log."""
        started = perf_counter()
        tally = Tally()
        ledger = _Listener(Binding.of("whatif", 0, lanes=self.settings.lanes), tally)
        with self.log.open() as reader:
            run = Replay(
                self.settings,
                self.rules,
                ledger,
                Outputs({}),
                vocabulary=self.log.vocabulary,
                partitions=reader.n_partitions if isinstance(reader, TopicLog) else 1,
                desk=self.desk,
            )
            run.run(reader, "whatif", lambda n: on_batch(_share(reader), n))
        tally.n_read, _, tally.n_duplicate, tally.n_late, tally.n_dead = run.counts
        tally.seconds = perf_counter() - started
        return tally


@dataclass(frozen=True, slots=True)
class PastJob:
    """What became of the customers: reads the log without the engine.

    Parameters
    ----------
    log
        What is read.
    horizon
        Churn horizon, ms.
    activity
        Kinds of the customers' own activity.
    """

    log: Input
    horizon: int
    activity: frozenset[str]

    def run(self, on_batch: OnBatch) -> Past:
        """Read the log."""
        past = Past(self.horizon, self.activity)
        with self.log.open() as reader:
            past.read(reader, self.log.vocabulary, lambda n: on_batch(_share(reader), n))
        return past


Job = VariantJob | PastJob
"""One pass over the log."""


class _Listener(MemoryLedger):
    """A ledger in memory that counts what goes out with each batch, and lets go of it."""

    def __init__(self, binding: Binding, tally: Tally) -> None:
        super().__init__(binding)
        self._tally = tally

    def commit(self, outcomes: Sequence[Outcome], position: Position, outbox: Outbox = NOTHING_OUT) -> None:
        super().commit(outcomes, position, outbox)
        for outcome in outcomes:
            self._tally.add(outcome.alerts)


def _share(reader: LogReader | TopicLog) -> float:
    if isinstance(reader, TopicLog):
        return reader.passed / max(1, reader.total)
    return reader.bytes_read / max(1, reader.total_bytes)
