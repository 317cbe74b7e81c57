"""One pass over the log: a variant through the engine, or what became of the customers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from engine.desk import Desk
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.settings import ResultSettings
from engine.vocabulary import Vocabulary
from streams.lane_group import LaneGroup
from streams.ledger import Binding, Counts, Position
from streams.memory_ledger import MemoryLedger
from streams.reader.log import LogReader, open_log
from streams.reader.topic import TopicLog
from streams.replay.sharing import Boundaries
from streams.settings import Settings
from streams.whatif.past import Past
from streams.whatif.tally import Tally

__all__ = ["CACHE", "Input", "Job", "OnBatch", "PastJob", "VariantJob"]

CACHE: Final = 1000
"""Customers whose memory a lane keeps decoded, which takes many times the room of the encoded one. Several variants are
at work at a time, so fewer than in a replay: memory is what must not run out here."""

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
        tally, counts, share_ms = Tally(), Counts(), self.settings.share_ms
        digest, vocabulary = self.settings.digest(), self.log.vocabulary
        ledger = MemoryLedger(Binding.of("whatif", 0, lanes=self.settings.lanes))
        ledger.claim()
        ledger.open(digest)

        def commit(outcomes: Sequence[Outcome]) -> None:
            ledger.commit(outcomes, Position(next_offset=counts.read, settings=digest, counts=counts))
            tally.add(sorted((a for outcome in outcomes for a in outcome.alerts), key=lambda alert: alert.index))

        with self.log.open() as reader:
            group = LaneGroup(
                self.settings,
                self.rules,
                ledger,
                partitions=reader.n_partitions if isinstance(reader, TopicLog) else 1,
                vocabulary=vocabulary,
                cache=CACHE,
                desk=self.desk,
            )
            group.load()
            boundaries = None
            if share_ms is not None and self.settings.lanes > 1:
                boundaries = Boundaries(share_ms, -1, -1, vocabulary)
            for records in reader:
                for epoch, piece in [(None, records)] if boundaries is None else boundaries.cut(records):
                    if epoch is not None:
                        commit(group.exchange(epoch))
                    applied = group.apply(piece, counts)
                    counts = applied.counts
                    commit(applied.outcomes)
                on_batch(_share(reader), counts.read)
        tally.n_read, _, tally.n_duplicate, tally.n_late, tally.n_dead = counts
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


def _share(reader: LogReader | TopicLog) -> float:
    if isinstance(reader, TopicLog):
        return reader.passed / max(1, reader.total)
    return reader.bytes_read / max(1, reader.total_bytes)
