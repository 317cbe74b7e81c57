"""The lanes of a replay spread over processes, with the answers of one process.

The parent reads the log, sends each record to the process of its lane, and puts together what comes back in the order
of the records. It alone writes: files, ledger and board see one batch after another, in one transaction each, as if all
lanes lived here. So a run may be killed and go on with another number of processes, or none.

With a ledger in Redis the processes keep nothing but a cache: they ask the parent for what they have let go of. Without
one, the state of a lane lives in its process.
"""

from __future__ import annotations

import heapq
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from engine.errors import HenjiError, RecoverableError, StateIncompatible
from engine.event import Event
from engine.lane import Lane
from engine.outcome import Outcome
from streams.child_process import bound_to_us, end
from streams.lane_group import MAX_FAILED
from streams.ledger import Counts, LaneState, Ledger
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
from streams.replay.lanes import Clocks, Worked, in_order
from streams.replay.routing import Router
from streams.standing import Standing

__all__ = ["AHEAD", "LanePool"]

AHEAD: Final = 2
"""Batches under way beside the one that is waited for: a process that is done early has work, and memory is bounded."""

# Not the module by its name: a folder `streams` where the user stands would be found first.
_START = "import sys; sys.path[:] = {path!r}; from streams.replay.lane_process import main; main({descriptor})"

_Message = TypeVar("_Message")


class _Member:
    """One process: its lanes, and what it has sent and nobody has taken yet."""

    def __init__(self, number: int, job: Job, events: SimpleQueue[tuple[int, Any]]) -> None:
        self.own = job.own
        self.inbox: deque[Any] = deque()
        self.n_duplicate = self.n_late = 0
        ours, theirs = socket.socketpair()
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            program = _START.format(path=sys.path, descriptor=theirs.fileno())
            # It has nothing to write when we end, and a signal that it could miss would leave it running.
            command = bound_to_us([sys.executable, "-P", "-c", program], how=signal.SIGKILL)
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for us
            )
        self._socket = ours
        self._connection = Connection(os.dup(ours.fileno()))
        self._thread = threading.Thread(target=self._listen, args=(number, events), daemon=True)
        self._thread.start()
        self.send(job)

    def send(self, message: Any) -> None:
        """Say something; what a dead process does not hear shows when it is listened to."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)

    def close(self) -> None:
        """End the process and reap it."""
        end(self.process, signal.SIGKILL)
        # Wakes the thread up; only then may the descriptor go.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()
        self._socket.close()

    def _listen(self, number: int, events: SimpleQueue[tuple[int, Any]]) -> None:
        try:
            while True:
                events.put((number, self._connection.recv()))
        except (EOFError, OSError):
            events.put((number, None))


class LanePool:
    """All lanes of a replay, in processes that live no longer than we do.

    Start it from the main thread: on Linux the processes end with the thread that started them.

    Parameters
    ----------
    job
        What each process is told; its lanes are filled in.
    ledger
        With state only where `job.ships`.
    cores
        Number of processes, 1 to the number of lanes.
    """

    def __init__(self, job: Job, ledger: Ledger, cores: int) -> None:
        self._job = job
        self._ledger = ledger
        self._cores = cores
        self._router = Router(job.settings.lanes, job.vocabulary, job.limits)
        self._events: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        self._members: list[_Member] = []
        # Records, and which processes have some of them.
        self._under_way: deque[tuple[int, list[int]]] = deque()
        self._n_sent = 0
        self._n_committed = 0
        self._states: list[tuple[_Member, State]] = []
        self._lanes: list[Lane] = []
        self._lines: list[bytes] | None = None

    # -- the run -----------------------------------------------------------------------------------------------

    @property
    def ahead(self) -> int:
        """As many batches as keep a process busy while another lags behind."""
        return AHEAD

    def load(self) -> Clocks:
        """Start the processes; each takes its lanes from the ledger."""
        self.close()
        lanes = range(self._job.settings.lanes)
        for number in range(self._cores):
            job = replace(self._job, own=tuple(lanes[number :: self._cores]))
            self._members.append(_Member(number, job, self._events))
        found = [self._next(member, Ready) for member in self._members]
        for member, ready in zip(self._members, found, strict=True):
            member.n_duplicate, member.n_late = ready.duplicate, ready.late
        return Clocks(max(each.clocks.clock for each in found), max(each.clocks.told for each in found))

    def send(self, records: Sequence[Record]) -> None:
        """Send each record to the process of its lane."""
        # Whoever asked for memories meanwhile should not wait until we have read the next batch.
        while not self._events.empty():
            self._hear_one()
        places: list[list[int]] = [[] for _ in self._members]
        route, n = self._router.lane, self._cores
        for place, record in enumerate(records):
            places[route(record) % n].append(place)
        busy = [number for number, mine in enumerate(places) if mine]
        for number in busy:
            self._members[number].send(self._batch(records, places[number]))
        self._under_way.append((len(records), busy))
        self._n_sent += 1

    def take(self, counts: Counts) -> Worked:
        """Put together what the processes made of the oldest batch."""
        n_records, busy = self._under_way.popleft()
        answers: list[Answer] = []
        for number in busy:
            member = self._members[number]
            answer = self._next(member, Answer)
            member.n_duplicate, member.n_late = answer.n_duplicate, answer.n_late
            answers.append(answer)
        dead = sorted(each for answer in answers for each in answer.dead)
        if sum(each.reason == "engine" for each in dead) > MAX_FAILED:
            raise StateIncompatible(
                f"engine: expected at most {MAX_FAILED} events of a batch to fail, got more; this is a bug that dead "
                "letters cannot contain: report it, and go on with the version before"
            )
        n_duplicate = sum(member.n_duplicate for member in self._members)
        n_late = sum(member.n_late for member in self._members)
        read, n_dead = counts.read + n_records, counts.dead + len(dead)
        return Worked(
            _by_lane(outcome for answer in answers for outcome in answer.outcomes),
            in_order([line for answer in answers for line in answer.alerts]),
            in_order([line for answer in answers for line in answer.predictions]),
            dead,
            sorted(place for answer in answers for place in answer.late),
            Counts(read, read - n_duplicate - n_late - n_dead, n_duplicate, n_late, n_dead),
        )

    def exchange(self, epoch: int) -> list[Outcome]:
        """Carry what each lane says to the others."""
        for member in self._members:
            member.send(Tell(self._n_sent, self._n_committed, epoch))
        self._n_sent += 1
        told: dict[int, list[Event]] = {}
        for member in self._members:
            told |= self._next(member, Told).said
        said = [event for _, events in sorted(told.items()) for event in events]
        for member in self._members:
            member.send(Hear([event for event in said if event.lane in member.own]))
        return _by_lane(outcome for member in self._members for outcome in self._next(member, Answer).outcomes)

    def committed(self) -> None:
        """What was taken last is in the ledger."""
        self._n_committed += 1
        ready = [each for each in self._states if each[1].number <= self._n_committed]
        self._states = [each for each in self._states if each[1].number > self._n_committed]
        for member, state in ready:
            member.send(Reply(self._ledger.lane_state(state.lane)))

    # -- the end -----------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Fetch what lives in the processes."""
        states: dict[int, LaneState] = {}
        if self._job.ships:
            states = {number: self._ledger.lane_state(number) for number in self._ledger.binding.own}
        else:
            parts = []
            for member in self._members:
                member.send(End())
            for member in self._members:
                lines: list[tuple[str, bytes]] = []
                while isinstance(message := self._any(member), Lines):
                    lines += message.lines
                states |= _checked(message, Ended).states
                parts.append(lines)
            self._lines = [line for _, line in heapq.merge(*parts)]
        self._lanes = [
            Lane(number, self._job.settings, self._job.rules, record=record, models=models, timers=timers, cache=0)
            for number, (record, models, timers) in sorted(states.items())
        ]

    def close(self) -> None:
        """End the processes."""
        members, self._members = self._members, []
        for member in members:
            member.close()

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes as they stood at the end."""
        return self._lanes

    def standing(self, counts: Counts) -> Standing:
        """Everything that the run came to."""
        settings, rules = self._job.settings, self._job.rules
        if self._lines is not None:
            return Standing(settings, rules, self._lanes, counts, self._lines)
        return Standing.of(settings, rules, self._lanes, counts, self._ledger.customers)

    # -- talking -----------------------------------------------------------------------------------------------

    def _batch(self, records: Sequence[Record], places: list[int]) -> Batch:
        mine = [records[place] for place in places]
        stamps = [record.record_ts for record in mine]
        keys = [record.key for record in mine]
        partitions = [record.partition for record in mine]
        return Batch(
            self._n_sent,
            self._n_committed,
            places,
            [record.raw for record in mine],
            None if stamps.count(None) == len(mine) else stamps,
            None if keys.count(None) == len(mine) else keys,
            None if partitions.count(None) == len(mine) else partitions,
        )

    def _next(self, member: _Member, kind: type[_Message]) -> _Message:
        return _checked(self._any(member), kind)

    def _any(self, member: _Member) -> Any:
        while not member.inbox:
            self._hear_one()
        return member.inbox.popleft()

    def _hear_one(self) -> None:
        """Wait for a message of any process; questions are answered, the rest is kept for who waits for it."""
        number, message = self._events.get()
        member = self._members[number]
        match message:
            case None:
                raise self._lost(member)
            case Failed():
                raise message.error
            case Load():
                member.send(Reply(self._ledger.load(message.lane, message.ids)))
            case State() if message.number > self._n_committed:
                self._states.append((member, message))
            case State():
                member.send(Reply(self._ledger.lane_state(message.lane)))
            case _:
                member.inbox.append(message)

    def _lost(self, member: _Member) -> HenjiError:
        code = member.process.wait()
        got = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return RecoverableError(
            f"replay: expected the process of lanes {', '.join(map(str, member.own))} to live as long as the run, got "
            f"its end with {got}; has the machine run out of memory? With --redis the same command goes on where it "
            "was, and fewer --cores need less memory"
        )


def _checked(message: Any, kind: type[_Message]) -> _Message:
    assert isinstance(message, kind), f"{kind.__name__} expected, got {type(message).__name__}"
    return message


def _by_lane(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda outcome: outcome.lane)
