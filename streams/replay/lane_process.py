"""Some lanes of a replay in a process of their own: what `streams.replay.lane_pool` starts."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from engine.board import board_line
from engine.errors import HenjiError
from engine.outcome import Outcome
from streams.lane_group import LaneGroup
from streams.ledger import Binding, Counts, LaneState, Position
from streams.memory_ledger import MemoryLedger
from streams.reader.record import Record
from streams.replay.lane_wire import (
    Answer,
    Batch,
    End,
    Ended,
    Failed,
    Hear,
    Job,
    Lines,
    Load,
    Ready,
    Reply,
    State,
    Tell,
    Told,
)
from streams.replay.lanes import Clocks, alert_lines, prediction_lines

__all__ = ["AheadSource", "LaneProcess", "main"]

_LINES_A_MESSAGE = 5_000


class AheadSource:
    """What the parent's ledger holds, and on top of it what is not committed there yet.

    A process works ahead of the ledger. A customer that it let go of meanwhile must come back as it left them.

    Parameters
    ----------
    binding
        The lanes of this process.
    ask
        Sends a `Load` or `State` to the parent and gives its answer.
    """

    def __init__(self, binding: Binding, ask: Callable[[Load | State], Any]) -> None:
        self.binding = binding
        self.number = 0
        self._ask = ask
        # Number of the batch, then lane -> customer -> memory; the oldest first.
        self._ahead: deque[tuple[int, dict[int, dict[str, bytes | None]]]] = deque()

    def begin(self, number: int, committed: int) -> None:
        """A batch begins; what is committed is the ledger's to tell."""
        self.number = number
        while self._ahead and self._ahead[0][0] < committed:
            self._ahead.popleft()

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        """Remember what a batch left until it is committed."""
        left = {
            outcome.lane: {change.customer_id: change.record for change in outcome.customers.values()}
            for outcome in outcomes
        }
        self._ahead.append((self.number, left))

    def load(self, lane: int, customer_ids: Sequence[str]) -> dict[str, bytes | None]:
        """The memories of these customers."""
        found: dict[str, bytes | None] = {}
        for _, left in self._ahead:
            changed = left.get(lane, {})
            found.update((customer_id, changed[customer_id]) for customer_id in customer_ids if customer_id in changed)
        missing = [customer_id for customer_id in customer_ids if customer_id not in found]
        if missing:
            found.update(self._ask(Load(lane, missing)))
        return {customer_id: found[customer_id] for customer_id in customer_ids}

    def lane_state(self, lane: int) -> LaneState:
        """A lane as the last batch left it; waits until that is committed."""
        state: LaneState = self._ask(State(self.number, lane))
        return state


class LaneProcess:
    """Answers one message after another, until the other end is closed.

    Parameters
    ----------
    connection
        To the parent; the first message is the `Job`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._work: SimpleQueue[Any] = SimpleQueue()
        self._replies: SimpleQueue[Any] = SimpleQueue()
        self._job: Job = connection.recv()
        job = self._job
        binding = Binding("replay", 0, job.settings.lanes, job.own)
        self._ahead = AheadSource(binding, self._ask)
        self._memory = MemoryLedger(binding)
        self._n_commits = 0
        source = self._ahead if job.ships else self._memory
        self._group = LaneGroup(
            job.settings,
            job.rules,
            source,
            partitions=job.partitions,
            vocabulary=job.vocabulary,
            limits=job.limits,
            cache=job.cache,
            desk=job.desk,
        )
        self._told: dict[int, Outcome] = {}

    def run(self) -> None:
        """Work until there is an error; the end of the connection ends the process."""
        # Always reading: whoever sends to us never waits for what we are at.
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._send(self._load())
            while True:
                self._take(self._work.get())
        except HenjiError as error:
            self._send(Failed(error))
        except Exception as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"
            self._send(
                Failed(
                    HenjiError(
                        f"replay: expected the process of lanes {', '.join(map(str, self._job.own))} to work, got "
                        f"{type(error).__name__}: {error} ({place}); this is a bug: report it, and try --cores 1"
                    )
                )
            )

    # -- talking -----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                (self._replies if isinstance(message, Reply) else self._work).put(message)
        except (EOFError, OSError):
            # Nobody waits for us any more, and we hold nothing that has to be written.
            os._exit(0)

    def _send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except OSError:
            os._exit(0)

    def _ask(self, question: Load | State) -> Any:
        self._send(question)
        return self._replies.get().what

    # -- working -----------------------------------------------------------------------------------------------

    def _load(self) -> Ready:
        self._memory.claim()
        self._memory.open(self._job.settings.digest())
        self._group.load()
        lanes = list(self._group.lanes.values())
        clocks = Clocks(max(lane.clock for lane in lanes), max(lane.sharing.told for lane in lanes))
        return Ready(clocks, sum(lane.record.duplicate for lane in lanes), sum(lane.record.late for lane in lanes))

    def _take(self, message: Batch | Tell | Hear | End) -> None:
        match message:
            case Batch():
                self._ahead.begin(message.number, message.committed)
                self._send(self._apply(message))
            case Tell():
                self._ahead.begin(message.number, message.committed)
                self._told = self._group.tell(message.epoch)
                self._send(Told({number: outcome.outgoing for number, outcome in self._told.items()}))
            case Hear():
                outcomes = self._group.hear(self._told, message.said)
                self._keep(outcomes)
                self._send(Answer(outcomes if self._job.ships else [], [], [], [], [], 0, 0))
            case End():
                self._end()

    def _apply(self, batch: Batch) -> Answer:
        job, places = self._job, batch.places
        applied = self._group.apply(_records(batch), Counts())
        outcomes = applied.outcomes
        for outcome in outcomes:
            for alert in outcome.alerts:
                alert.index = places[alert.index]
        alerts = alert_lines(outcomes) if "alerts" in job.wanted else []
        made = prediction_lines(outcomes) if "predictions" in job.wanted else []
        predictions = [(places[place], line) for place, line in made]
        for outcome in outcomes:
            outcome.predictions = []
        self._keep(outcomes)
        return Answer(
            outcomes if job.ships else [],
            alerts,
            predictions,
            [dead._replace(place=places[dead.place]) for dead in applied.dead],
            [places[place] for place in applied.late],
            applied.counts.duplicate,
            applied.counts.late,
        )

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        if self._job.ships:
            self._ahead.keep(outcomes)
        else:
            self._n_commits += 1
            self._memory.commit(outcomes, Position(next_offset=self._n_commits, settings=self._job.settings.digest()))

    def _end(self) -> None:
        if self._job.ships:
            self._send(Ended({}))
            return
        lines = [
            (customer_id, board_line(lane.decode(record)))
            for number, lane in self._group.lanes.items()
            for customer_id, record in self._memory.customers(number)
        ]
        lines.sort()
        for start in range(0, len(lines), _LINES_A_MESSAGE):
            self._send(Lines(lines[start : start + _LINES_A_MESSAGE]))
        self._send(Ended({number: self._memory.lane_state(number) for number in self._group.lanes}))


def _records(batch: Batch) -> list[Record]:
    if batch.stamps is None and batch.keys is None and batch.partitions is None:
        return [Record(raw, "", 0) for raw in batch.raws]
    nothing = [None] * len(batch.raws)
    columns = zip(batch.raws, batch.stamps or nothing, batch.keys or nothing, batch.partitions or nothing, strict=True)
    return [Record(raw, "", 0, stamp, key, partition) for raw, stamp, key, partition in columns]


def main(descriptor: int) -> None:
    """Work at the end of a socket that was inherited."""
    LaneProcess(Connection(descriptor)).run()
