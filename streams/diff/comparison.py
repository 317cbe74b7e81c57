"""Two runs side by side.

Customers are merged by id. Of alerts and predictions the beginning that both files share byte for byte is passed over;
the rest is sorted by customer (`spill`), and of each customer the messages of the two runs are paired: an alert by
flag, category, `op`, `at` and how often that came before, a prediction by `at`, trigger, event and the same. What has
no partner is only in one run. Memory holds the messages of one customer at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import chain, groupby, zip_longest
from operator import itemgetter
from typing import Any, TypeVar

import orjson

from engine.errors import UsageError
from engine.flag_field import flag_field
from streams.diff.difference import Difference, First, Gap, Numbers
from streams.diff.row import FACTS, FLAG_FACTS, SCORES, CustomerRow
from streams.diff.sides import PARTS, Side, customer_of
from streams.diff.spill import SPILL_BYTES, by_customer

__all__ = ["Comparison", "compare"]

_EVERY = 1000
_Each = TypeVar("_Each")
_Messages = list[dict[str, Any]]


def compare(
    a: Side,
    b: Side,
    *,
    limit: int = 20,
    memory: int = SPILL_BYTES,
    on_progress: Callable[[float, int], None] = lambda _share, _n: None,
) -> Difference:
    """All that differs between two runs.

    Parameters
    ----------
    a, b
        The runs; what only one of them holds (predictions, say) is not compared.
    limit
        Most details of each kind.
    memory
        Bytes of lines that each side may hold while sorting.
    on_progress
        Called with the share done and the number of lines so far.

    Raises
    ------
    UsageError
        If the runs have no part in common.
    """
    return Comparison(a, b, limit=limit, memory=memory, on_progress=on_progress).run()


class Comparison:
    """One comparison; the parameters are those of `compare`."""

    def __init__(
        self,
        a: Side,
        b: Side,
        *,
        limit: int,
        memory: int = SPILL_BYTES,
        on_progress: Callable[[float, int], None] = lambda _share, _n: None,
    ) -> None:
        self.a, self.b = a, b
        self.found = Difference(limit)
        self._memory = memory
        self._on_progress = on_progress
        self._n = 0
        digits = [side.digits for side in (a, b) if side.digits is not None]
        self._digits = min(digits) if digits else None

    def run(self) -> Difference:
        """Compare what both have."""
        found = self.found
        found.compared = tuple(part for part in PARTS if part in self.a.parts and part in self.b.parts)
        if not found.compared:
            got = " and ".join(", ".join(sorted(side.parts)) for side in (self.a, self.b))
            raise UsageError(f"run: expected two runs with a part in common, got {got}; give the board of both")
        if "alerts" in found.compared:
            self._alerts()
        if "predictions" in found.compared:
            self._predictions()
        if "board" in found.compared:
            self._board()
        return found

    # -- the board ---------------------------------------------------------------------------------------------

    def _board(self) -> None:
        self.found.scores = {name: Gap() for name in SCORES}
        rows = _merged(
            self._counted(self.a.customers()), self._counted(self.b.customers()), lambda row: row.customer_id.encode()
        )
        for a, b in rows:
            self._customer(a, b)

    def _customer(self, a: CustomerRow | None, b: CustomerRow | None) -> None:
        numbers = self.found.customers
        numbers.a += a is not None
        numbers.b += b is not None
        customer_id = (a or b).customer_id  # type: ignore[union-attr] # one of them is there
        flags = self._flags(customer_id, a.flags if a else {}, b.flags if b else {})
        told: dict[str, Any] = {"customer_id": customer_id, "side": _side(a, b), "flags": flags}
        if a is None or b is None:
            numbers.only_a += b is None
            numbers.only_b += a is None
        else:
            pairs = {name: [self._round(row.scores[name]) for row in (a, b)] for name in SCORES}
            told["scores"] = {name: pair for name, pair in pairs.items() if self.found.scores[name].take(*pair)}
            told["facts"] = {name: [a.facts[name], b.facts[name]] for name in FACTS if a.facts[name] != b.facts[name]}
            self.found.facts.update(told["facts"].keys())
            if not (flags or told["scores"] or told["facts"]):
                return
            numbers.differing += 1
        self.found.details["customers"].add(customer_id.encode(), told)

    def _flags(self, customer_id: str, a: dict[str, Any], b: dict[str, Any]) -> list[dict[str, Any]]:
        changes = []
        for name in sorted(a.keys() | b.keys()):
            here, there = a.get(name), b.get(name)
            if here == there:
                continue
            if here is None or there is None:
                kinds = ["enter" if here is None else "leave"]
            else:
                kinds = [fact for fact in FLAG_FACTS if here[fact] != there[fact]]
            self.found.flags.setdefault(name.partition("/")[0], Counter()).update(kinds)
            changes.append({"flag": name, "kinds": kinds, "a": here, "b": there})
            if "alerts" not in self.found.compared:
                since, shown = min((flag["since"], flag) for flag in (here, there) if flag is not None)[:2]
                events = tuple(shown["evidence"] or ())
                self.found.earlier(First(since, "flag", _side(here, there), customer_id, events, name))
        return changes

    def _round(self, score: float | None) -> float | None:
        if score is None or self._digits is None:
            return score
        return float(format(score, f".{self._digits}g"))

    # -- alerts and predictions --------------------------------------------------------------------------------

    def _alerts(self) -> None:
        for customer_id, a, b in self._messages("alerts", self.found.alerts, _alert_key):
            if [_alert_key(each) for each in a] != [_alert_key(each) for each in b]:
                self._out_of_order(customer_id, a, b)
            for here, there in _paired(a, b, _alert_key):
                self._alert(here, there)

    def _out_of_order(self, customer_id: str, a: _Messages, b: _Messages) -> None:
        # Only what both have can be in another order.
        common = Counter(map(_alert_key, a)) & Counter(map(_alert_key, b))
        orders = []
        for messages in (a, b):
            left, order = common.copy(), []
            for key in map(_alert_key, messages):
                if left[key] > 0:
                    left[key] -= 1
                    order.append(key)
            orders.append(order)
        if orders[0] != orders[1]:
            self.found.alerts_out_of_order += 1
            told = next(each for each, other in zip(a, b, strict=False) if each != other)
            self.found.earlier(_first_alert(told, "both"))

    def _alert(self, a: dict[str, Any] | None, b: dict[str, Any] | None) -> None:
        if a == b:
            return
        side = _side(a, b)
        told = a if a is not None else b
        assert told is not None
        kinds = [f"only_{side}"]
        if a is not None and b is not None:
            self.found.alerts.differing += 1
            fields = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
            self.found.alert_fields.update(fields)
            kinds = ["differing"]
        else:
            self.found.alerts.only_a += b is None
            self.found.alerts.only_b += a is None
            fields = []
        self.found.alert_flags.setdefault(told["flag"], Counter()).update(kinds)
        first = _first_alert(told, side)
        self.found.earlier(first)
        self.found.details["alerts"].add(first.order, {"side": side, "fields": fields, "a": a, "b": b})

    def _predictions(self) -> None:
        self.found.prediction_scores = {name: Gap() for name in SCORES}
        numbers = self.found.predictions
        for customer_id, ours, theirs in self._messages("predictions", numbers, _prediction_key):
            for a, b in _paired(ours, theirs, _prediction_key):
                if a is None or b is None:
                    numbers.only_a += b is None
                    numbers.only_b += a is None
                else:
                    gaps = [gap.take(a[name], b[name]) for name, gap in self.found.prediction_scores.items()]
                    if not any(gaps):
                        continue
                    numbers.differing += 1
                told = a or b or {}
                event = told["event_id"]
                first = First(told["at"], "prediction", _side(a, b), customer_id, () if event is None else (event,))
                self.found.earlier(first)
                self.found.details["predictions"].add(first.order, {"side": first.side, "a": a, "b": b})

    def _messages(
        self, part: str, numbers: Numbers, key: Callable[[dict[str, Any]], Hashable]
    ) -> Iterator[tuple[str, _Messages, _Messages]]:
        """The messages of each customer of whom some differ."""
        same, rest_a, rest_b = _after_same(self._counted(self.a.lines(part)), self._counted(self.b.lines(part)))
        numbers.a = numbers.b = same
        gaps = self.found.prediction_scores if part == "predictions" else {}
        for gap in gaps.values():
            gap.compared += same
        groups = [
            groupby(by_customer(((customer_of(line, f"{side.name} {part}"), line) for line in rest),
                                memory=self._memory), key=itemgetter(0))
            for side, rest in ((self.a, rest_a), (self.b, rest_b))
        ]  # fmt: skip
        listed = [((customer_id, [line for _, line in lines]) for customer_id, lines in each) for each in groups]
        for a, b in _merged(listed[0], listed[1], lambda group: group[0].encode()):
            customer_id = (a or b)[0]  # type: ignore[index] # one of them is there
            lines_a, lines_b = a[1] if a else [], b[1] if b else []
            numbers.a += len(lines_a)
            numbers.b += len(lines_b)
            if lines_a == lines_b:
                for gap in gaps.values():
                    gap.compared += len(lines_a)
                continue
            ours, theirs = self._read(part, customer_id, lines_a, key), self._read(part, customer_id, lines_b, key)
            yield customer_id, ours, theirs

    def _read(
        self, part: str, customer_id: str, lines: Sequence[bytes], key: Callable[[dict[str, Any]], Hashable]
    ) -> _Messages:
        try:
            messages = [orjson.loads(line) for line in lines]
            for each in messages:
                key(each)
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"{part}: expected the fields of docs/replay.md, got a line of {customer_id!r} without {error}"
            ) from error
        if part != "alerts":
            return messages
        known = [at for side in (self.a, self.b) if (at := side.known_from(customer_id)) is not None]
        kept = [each for each in messages if each["at"] > max(known)] if known else messages
        self.found.alerts_unknown += len(messages) - len(kept)
        return kept

    # -- progress ----------------------------------------------------------------------------------------------

    def _counted(self, each: Iterable[_Each]) -> Iterator[_Each]:
        total = self.a.total + self.b.total
        for one in each:
            yield one
            self._n += 1
            if self._n % _EVERY == 0:
                passed = self.a.passed + self.b.passed
                self._on_progress(passed / total if total else 0.0, self._n)


def _after_same(a: Iterator[bytes], b: Iterator[bytes]) -> tuple[int, Iterator[bytes], Iterator[bytes]]:
    """How many lines both begin with, and what comes after them."""
    same = 0
    for here, there in zip_longest(a, b):
        if here != there:
            return same, _before(here, a), _before(there, b)
        same += 1
    return same, iter(()), iter(())


def _before(line: bytes | None, rest: Iterator[bytes]) -> Iterator[bytes]:
    return rest if line is None else chain([line], rest)


def _merged(
    a: Iterator[_Each], b: Iterator[_Each], key: Callable[[_Each], bytes]
) -> Iterator[tuple[_Each | None, _Each | None]]:
    """Two sorted rows as one, pairs of equal keys together."""
    here, there = next(a, None), next(b, None)
    while here is not None or there is not None:
        if there is None or (here is not None and key(here) < key(there)):
            yield here, None
            here = next(a, None)
        elif here is None or key(there) < key(here):
            yield None, there
            there = next(b, None)
        else:
            yield here, there
            here, there = next(a, None), next(b, None)


def _paired(
    a: _Messages, b: _Messages, key: Callable[[dict[str, Any]], Hashable]
) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """Messages of one customer with their partners; the n-th of a key is the partner of the n-th."""
    left: dict[Hashable, _Messages] = {}
    for each in reversed(b):
        left.setdefault(key(each), []).append(each)
    for each in a:
        partners = left.get(key(each))
        yield each, partners.pop() if partners else None
    for partners in left.values():
        for each in reversed(partners):
            yield None, each


def _alert_key(alert: dict[str, Any]) -> Hashable:
    return alert["flag"], alert["category"], alert["op"], alert["at"]


def _prediction_key(prediction: dict[str, Any]) -> Hashable:
    return prediction["at"], prediction["trigger"], prediction["event_id"]


def _first_alert(alert: dict[str, Any], side: str) -> First:
    flag = flag_field(alert["flag"], alert["category"])
    return First(alert["at"], "alert", side, alert["customer_id"], tuple(alert["evidence"]), flag, alert["op"])


def _side(a: object, b: object) -> str:
    return "b" if a is None else "a" if b is None else "both"
