"""A typed reader of the board: what any program may do with a Redis client, spelled out once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from streams.redis.asking import Question, answer
from streams.redis.client import RedisClient
from streams.redis.desk_views import (
    AlertState,
    DeliveryView,
    FactView,
    GuidanceView,
    ModelView,
    QueueView,
    RuleView,
    ServiceView,
)
from streams.redis.folded import Folded, FoldStep, Snapshot
from streams.redis.keys import Keys
from streams.redis.questions import Questions
from streams.redis.views import AlertView, CustomerView, FlagView, MetaView, TimelineEntry, WhyView

__all__ = ["RiskBoard"]

_Value = TypeVar("_Value")


class RiskBoard:
    """Reads the board. What is missing is `None`, unknown, and never zero.

    Parameters
    ----------
    client
        From `client.connect`; may be a user of Redis that can only read the prefix.
    prefix
        Of the board: `risk:`, or `replay:<run>:`.

    Raises
    ------
    StoreUnavailable
        By every method, if Redis does not answer.
    CorruptState
        By every method, if a key is not of the contract; the message names it.

    Examples
    --------
    >>> from streams.redis.embedded import EmbeddedRedis
    >>> with EmbeddedRedis() as server:
    ...     client = server.client()
    ...     board = RiskBoard(client)
    ...     print(board.customer("c1"), board.flags("c1"), board.top("churn", 10))
    ...     client.close()
    None None []
    """

    def __init__(self, client: RedisClient, prefix: str = "risk:") -> None:
        self._client = client
        self._questions = Questions(Keys(prefix))

    def customer(self, customer_id: str) -> CustomerView | None:
        """A customer at a glance; `None` for one that the board does not know."""
        return self._ask(self._questions.customer(customer_id))

    def flags(self, customer_id: str) -> list[FlagView] | None:
        """The flags of a customer, oldest first; empty: none is up; `None`: unknown customer.

        `FlagView.up` is worked out from `until` and the lane's watermark, so it is right when every worker is dead.
        """
        return self._ask(self._questions.flags(customer_id))

    def why(self, customer_id: str) -> WhyView | None:
        """Reasons of the scores and evidence of the flags; `None` when there are none."""
        return self._ask(self._questions.why(customer_id))

    def profile(self, customer_id: str) -> dict[str, str] | None:
        """Descriptive facts; `None` when there are none."""
        return self._ask(self._questions.profile(customer_id))

    def history(self, customer_id: str) -> dict[str, tuple[float | None, float | None]] | None:
        """Day (`YYYY-MM-DD`) -> last churn and engagement of that day, oldest first; `None` when there is none."""
        return self._ask(self._questions.history(customer_id))

    def timeline(self, customer_id: str) -> list[TimelineEntry] | None:
        """The last traces of both sides, oldest first; `None` when there are none."""
        return self._ask(self._questions.timeline(customer_id))

    def top(self, index: str, n: int) -> list[tuple[str, float]]:
        """The first `n` of a leaderboard, the most urgent first: customer ids with their scores."""
        return self._ask(self._questions.top(index, n))

    def alerts(self, after: str = "0", count: int = 100) -> list[AlertView]:
        """Alerts after a stream id, oldest first.

        Parameters
        ----------
        after
            `AlertView.stream_id` of the last one seen, or `0` for the oldest kept.
        count
            Most alerts to return.
        """
        return self._ask(self._questions.alerts(after, count))

    def last_alerts(self, count: int = 100) -> list[AlertView]:
        """The newest `count` alerts, oldest first."""
        return self._ask(self._questions.last_alerts(count))

    def facts(self, after: str = "0", count: int = 100) -> list[FactView]:
        """What people said of alerts after a stream id, oldest first; parameters as of `alerts`."""
        return self._ask(self._questions.facts(after, count))

    def last_facts(self, count: int = 100) -> list[FactView]:
        """The newest `count` facts, oldest first."""
        return self._ask(self._questions.last_facts(count))

    def news(
        self, alerts_after: str, facts_after: str, *, count: int = 100, block_ms: int | None = None
    ) -> tuple[list[AlertView], list[FactView]]:
        """Alerts and facts after two stream ids, oldest first; waits for one when there is none.

        Parameters
        ----------
        alerts_after, facts_after
            Ids of the last ones seen, or `0`.
        count
            Most of each to return.
        block_ms
            How long to wait, ms; `None`: not at all. Shorter than the client waits for an answer (5 s by default).
        """
        return self._ask(self._questions.news(alerts_after, facts_after, count, block_ms))

    def alert(self, alert_id: str) -> AlertState | None:
        """State of an alert that is open or was closed lately; `None` for any other."""
        return self._ask(self._questions.alert(alert_id))

    def alerts_of(self, customer_id: str) -> list[AlertState]:
        """The open alerts of a customer, oldest first; reads the whole queue, since contacts are no flags."""
        return self._ask(self._questions.alerts_of(customer_id))

    def queue(
        self,
        name: str,
        now_ms: int,
        limit: int = 100,
        *,
        route: str | None = None,
        flag: str | None = None,
        waiting_ms: int | None = None,
    ) -> QueueView:
        """The open alerts in the order in which to look at them: incidents, waiting, acknowledged, snoozed.

        Each full `waiting_ms` that an alert waits lifts it by one priority; within a part of the queue the order is
        (lifted priority, `since`, alert id).

        Parameters
        ----------
        name
            `open`: those that people were shown; `held`: those that nobody was.
        now_ms
            Until when alerts wait, ms: the wall clock on a live board, the newest watermark on that of a replay.
        limit
            Most rows to return.
        route, flag
            Only alerts of this route, of this flag.
        waiting_ms
            After what time of waiting an alert is lifted by one; by default what the desk in force says, ms.
        """
        return self._ask(self._questions.queue(name, now_ms, limit, route, flag, waiting_ms))

    def guidance(self) -> dict[str, GuidanceView]:
        """Id -> what to say and what not to."""
        return self._ask(self._questions.guidance())

    def rules(self, flags: Iterable[str] | None = None) -> list[RuleView]:
        """How the alerts of each rule fare, by flag; a rule that never raised one is missing.

        Parameters
        ----------
        flags
            Names to look at; `None`: all, which goes through the names of all keys (about 1 s per 3,000,000).
        """
        return self._ask(self._questions.rules(flags))

    def delivery(self, n: int = 48) -> list[DeliveryView]:
        """The newest `n` windows of delivery, the newest first; goes through the names of all keys, as `rules`."""
        return self._ask(self._questions.delivery(n))

    def service(self) -> list[ServiceView]:
        """Scorecards of services by dimension and value; goes through the names of all keys, as `rules`."""
        return self._ask(self._questions.service())

    def models(self) -> list[ModelView]:
        """How good the models are, by name; goes through the names of all keys, as `rules`."""
        return self._ask(self._questions.models())

    def meta(self) -> MetaView | None:
        """Facts about the board; `None` when nobody ever wrote it.

        Raises
        ------
        StateIncompatible
            If the board is of another contract than this reader.
        """
        return self._ask(self._questions.meta())

    def input_state(self, lane: int, now_ms: int) -> str:
        """Whether what was sent for the customers of a lane is on the board.

        Parameters
        ----------
        lane
            As `CustomerView.lane` says.
        now_ms
            Wall clock, ms.

        Returns
        -------
        str
            `fresh`, `stale` or `unknown`, as the lane's worker said; `stale` when it said so more than 30 s ago, and
            `unknown` when it never did.
        """
        return self._ask(self._questions.input_state(lane, now_ms))

    def snapshot(self) -> Snapshot:
        """The flags of all customers with the place in the alert stream from which to fold; reads all of the board."""
        return self._ask(self._questions.snapshot())

    def fold(self, state: Folded | None = None, *, count: int = 1000) -> FoldStep:
        """Bring the flags that are up forward by at most `count` messages, or begin with a snapshot.

        Until `FoldStep.more` is false; then wait with `news(state.position, "$", block_ms=...)`. The state is changed
        in place once the answer is there, so a step that fails may be made again. It begins anew by itself where its
        place is not in the stream any more: trimmed away, Redis set back, made anew.

        Parameters
        ----------
        state
            Of the step before, or of `Folded.load`; `None`: begin.
        count
            Most messages of this step.
        """
        return self._ask(self._questions.fold(state, count))

    def _ask(self, question: Question[_Value]) -> _Value:
        return answer(self._client, question)
