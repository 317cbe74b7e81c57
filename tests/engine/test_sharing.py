"""Lanes that exchange what they learned: as one learner, in any order, to the bit through a ledger, hostile or not."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.catalogue import CATALOGUE
from engine.event import Event
from engine.lane import Lane
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.settings import ResultSettings
from engine.sharing import MAX_LANES, is_exchange, merge_order
from models.exchange import Knowledge, Learned, read_knowledge
from tests.engine.runs import DAY, T0

RULES = RuleSet.default()
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
X = len(CATALOGUE)


class Lanes:
    """The lanes of a deployment, each with what is stored of it.

    Parameters
    ----------
    lanes
        How many.
    reborn
        Make a lane anew from what is stored after each event.
    """

    def __init__(self, lanes: int = 3, *, reborn: bool = False) -> None:
        self.settings = ResultSettings(lanes=lanes, rules=RULES.version)
        self.lanes = [Lane(number, self.settings, RULES) for number in range(lanes)]
        self.stored: list[dict[str, bytes]] = [{} for _ in range(lanes)]
        self.reborn = reborn
        self.mail: list[Event] = []
        self.n = 0

    def give(self, event: Event) -> Outcome:
        """One lane control event, as the log has it."""
        assert event.lane is not None
        self.n += 1
        number = event.lane
        outcome = self.lanes[number].apply([(self.n, event)])
        for name, data in outcome.models.items():
            if data is None:
                self.stored[number].pop(name, None)
            else:
                self.stored[number][name] = data
        self.mail += outcome.outgoing
        if self.reborn:
            self.lanes[number] = Lane(
                number, self.settings, RULES, record=outcome.lane_record, models=self.stored[number]
            )
        return outcome

    def start(self, clock: int = T0) -> Lanes:
        """Give every lane a clock."""
        for number in range(len(self.lanes)):
            self.give(Event(f"tick{clock}", None, clock, "tick", lane=number, lanes=len(self.lanes)))
        return self

    def merge(self, number: int, epoch: int = T0 - 5) -> None:
        self.give(merge_order(epoch, number, len(self.lanes), max(epoch, 0)))

    def deliver(self, order: Callable[[list[Event]], Iterable[Event]] = list) -> None:
        mail, self.mail = self.mail, []
        for event in order(mail):
            self.give(event)

    def exchange(self, epoch: int = T0 - 5) -> None:
        for number in range(len(self.lanes)):
            self.merge(number, epoch)
        self.deliver()

    def teach(self, number: int, n: int, seed: int = 0) -> None:
        """Let a lane learn without events."""
        random, models = Random(1000 * seed + number), self.lanes[number].models
        for _ in range(n):
            x = [abs(random.gauss(number / 4, 1.0)) for _ in range(X - 1)] + [3.0]
            for channel in models._channels:
                members = models.explain(0, x).scores.members
                for piece in range(len(channel.churn.split.pieces)):
                    channel.churn.learn_piece(piece, x, random.random() < 0.6)
                channel.churn.learn_end(x, random.random() < 0.4, members)
                channel.engagement.learn_one(x, float(random.randrange(4)))
                channel.contact.learn(x, random.random() < 0.2)
        models.adopted(models.sharers())

    def tallies(self, number: int) -> dict[str, int]:
        return {k: v for k, v in self.lanes[number].record.tallies.items() if k.startswith("share")}

    def digests(self) -> list[list[bytes]]:
        return [lane.digest_parts() for lane in self.lanes]


def taught(lanes: int = 3, **options: Any) -> Lanes:
    group = Lanes(lanes, **options).start()
    for number in range(lanes):
        group.teach(number, 5 * (number + 1))
        if group.reborn:
            # What was taught past the log must be in the store, too.
            group.give(Event(f"w{number}", None, T0, "tick", lane=number, lanes=lanes))
    return group


def weights(lane: Lane) -> dict[str, Learned]:
    return {name: sharer.tell() for name, sharer in lane.models.sharers().items()}


# -- what comes of it ------------------------------------------------------------------------------------------------


def test_after_an_exchange_all_lanes_know_the_same() -> None:
    group = taught()
    before = [weights(lane) for lane in group.lanes]
    group.exchange()
    after = [weights(lane) for lane in group.lanes]
    for name in after[0]:
        n = [learned[name].n for learned in before]
        for learned in after:
            assert learned[name].n == sum(n) == 30
            for found, parts in zip(
                learned[name].numbers, zip(*(b[name].numbers for b in before), strict=True), strict=True
            ):
                mean = [
                    sum(k * v for k, v in zip(n, values, strict=True)) / sum(n) for values in zip(*parts, strict=True)
                ]
                assert list(found) == pytest.approx(mean, rel=1e-9, abs=1e-12)
            assert learned[name].means == pytest.approx(after[0][name].means, rel=1e-9)
            assert learned[name].variances == pytest.approx(after[0][name].variances, rel=1e-9)
            if learned[name].variances:
                assert learned[name].variances[-1] == 0.0
    assert [group.tallies(number) for number in range(3)] == [{"shared": 1}] * 3
    assert group.lanes[0].models.balance()["event"]["churn_learned"] == 0  # labels are counted where they matured


def test_an_exchange_of_lanes_that_know_the_same_changes_nothing() -> None:
    group = taught()
    group.exchange()
    known = [weights(lane) for lane in group.lanes]
    for epoch in (T0 - 4, T0 - 3):
        group.exchange(epoch)
    for before, lane in zip(known, group.lanes, strict=True):
        for name, learned in weights(lane).items():
            assert learned.n == before[name].n
            assert learned.means == pytest.approx(before[name].means, rel=1e-9)
            for found, numbers in zip(learned.numbers, before[name].numbers, strict=True):
                assert list(found) == pytest.approx(list(numbers), rel=1e-9, abs=1e-12)


def test_what_a_lane_learns_between_telling_and_merging_is_not_lost() -> None:
    group, other = taught(), taught()
    for number in range(3):
        group.merge(number)
        other.merge(number)
    group.teach(1, 5, seed=9)
    group.deliver()
    other.deliver()
    for name, learned in weights(group.lanes[1]).items():
        assert learned.n == weights(other.lanes[1])[name].n + 5
        assert weights(group.lanes[0])[name] == weights(other.lanes[0])[name]


@QUICK
@given(st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_arrival_does_not_matter(random: Any, reborn: bool) -> None:
    expected = taught()
    expected.exchange()
    group = taught(reborn=reborn)
    # Each lane is told somewhere among the states of the others.
    orders = [merge_order(T0 - 5, number, 3, T0 - 5) for number in range(3)]
    random.shuffle(orders)
    while orders or group.mail:
        group.mail += [orders.pop()] if orders else []
        random.shuffle(group.mail)
        group.give(group.mail.pop())
    assert group.digests() == expected.digests()


def test_state_goes_through_the_ledger_at_every_place_to_the_bit() -> None:
    digests = []
    for reborn in (False, True):
        group = taught(reborn=reborn)
        found = []
        for epoch in (T0 - 5, T0 - 4):
            for number in range(3):
                group.merge(number, epoch)
                found.append(group.digests())
            while group.mail:
                group.give(group.mail.pop())
                found.append(group.digests())
        digests.append(found)
        assert not any(name.startswith(("share.from", "share.told")) for stored in group.stored for name in stored)
    assert digests[0] == digests[1]


def test_it_shows_in_the_digest_and_a_lane_that_never_shared_has_none_of_it() -> None:
    group = taught()
    assert not any(name.startswith("share") for stored in group.stored for name in stored)
    before = group.digests()
    group.merge(0)
    assert group.digests()[0] != before[0]
    assert group.digests()[1:] == before[1:]


# -- epochs ----------------------------------------------------------------------------------------------------------


def test_a_later_epoch_makes_an_unfinished_one_void() -> None:
    group, expected = taught(), taught()
    for number in range(3):
        group.merge(number, T0 - 9)
    lost = [event for event in group.mail if event.lane == 2]
    group.deliver(lambda mail: [event for event in mail if event.lane != 2])
    assert [group.tallies(number).get("shared") for number in range(3)] == [1, 1, None]
    expected.exchange()
    group.exchange()
    group.mail = lost
    group.deliver()
    assert group.tallies(2) == {"share_void": 1, "share_stale": 2, "shared": 1}
    assert weights(group.lanes[2]).keys() == weights(expected.lanes[2]).keys()
    assert weights(group.lanes[2])["event.churn.0"].n == 30


def test_states_of_the_next_epoch_may_come_before_the_own_order() -> None:
    group, expected = taught(), taught()
    expected.exchange()
    for number in (0, 1):
        group.merge(number)
    group.deliver()
    assert group.tallies(2) == {}
    group.merge(2)
    group.deliver()
    assert group.digests() == expected.digests()


def test_orders_and_states_that_come_again_change_nothing() -> None:
    group = taught()
    for number in range(3):
        group.merge(number)
    mail = list(group.mail)
    group.deliver()
    done = group.digests()
    record = group.lanes[0].record
    for event in mail:
        group.give(event)
    group.merge(0)
    assert group.digests() == done
    assert record.duplicate == 3
    # Also under ids that are not known any more.
    for number, event in enumerate(mail):
        group.give(_renamed(event, f"again{number}"))
    group.give(_renamed(merge_order(T0 - 5, 0, 3, T0), "again"))
    assert group.digests() == done
    assert group.tallies(0) == {"shared": 1, "share_stale": 3}


def test_the_newest_state_of_a_sender_counts() -> None:
    group = taught()
    group.merge(1, T0 - 9)
    group.merge(1, T0 - 5)
    old, new = (
        [e for e in group.mail if e.lane == 0 and e.event_id.startswith(f"model:{at}")] for at in (T0 - 9, T0 - 5)
    )
    for event in (*new, *old, _renamed(new[0], "other")):
        group.give(event)
    assert group.tallies(0) == {"share_repeated": 2}
    assert group.tallies(1) == {"share_void": 1}


def test_no_record_of_an_exchange_moves_a_clock_or_is_late() -> None:
    group = taught()
    group.give(Event("far", None, T0 + 30 * DAY, "tick", lane=0, lanes=3))
    clocks = [lane.clock for lane in group.lanes]
    group.exchange()
    assert [lane.clock for lane in group.lanes] == clocks
    assert group.tallies(0) == {"shared": 1}
    assert all(lane.record.late == 0 for lane in group.lanes)


def test_a_lane_that_never_had_an_event_answers_the_first_state_that_comes() -> None:
    group = Lanes(3)
    for number in (0, 1):
        group.give(Event("t", None, T0, "tick", lane=number, lanes=3))
        group.teach(number, 10)
    for number in (0, 1):
        group.merge(number)
    while group.mail:
        group.deliver()
    assert [group.tallies(number) for number in range(3)] == [{"shared": 1}] * 3
    assert {name: learned.n for name, learned in weights(group.lanes[2]).items()} == dict.fromkeys(
        weights(group.lanes[2]), 20
    )


@pytest.mark.parametrize("lanes", [1, MAX_LANES + 1])
def test_one_lane_and_too_many_hand_out_nothing(lanes: int) -> None:
    group = Lanes(lanes).start()
    group.merge(0)
    assert group.mail == []
    assert group.tallies(0) == {"share_alone": 1}


def test_a_state_is_small_enough_for_a_record() -> None:
    group = taught(2)
    group.merge(0)
    (event,) = group.mail
    assert isinstance(event.body, dict)
    assert 1_000 < len(event.body["state"]) < 20_000
    assert event.ts == T0 - 5
    assert (event.event_id, event.lane, event.lanes) == (f"model:{T0 - 5}:0:1", 1, 2)


def test_what_another_recipe_has_learned_is_left_out_and_the_rest_counts() -> None:
    group = taught()
    for number in range(3):
        group.merge(number)

    def changed(event: Event) -> Event:
        body = event.body
        assert isinstance(body, dict)
        if body["from"] != 1:
            return event
        known = read_knowledge(b64decode(body["state"]))
        learners = dict(known.learners)
        del learners["event.engagement"]
        learners["silence.engagement"] = msgspec.structs.replace(learners["silence.engagement"], recipe="other")
        learners["surprise"] = learners["event.churn.0"]
        return _with(event, state=_state(Knowledge(known.epoch, known.sender, learners)))

    group.deliver(lambda mail: [changed(event) for event in mail])
    assert group.tallies(0) == {"share_foreign": 2, "shared": 1}
    known = weights(group.lanes[0])
    assert (known["event.engagement"].n, known["silence.engagement"].n, known["event.churn.0"].n) == (20, 20, 30)


# -- hostile ---------------------------------------------------------------------------------------------------------


def _renamed(event: Event, event_id: str) -> Event:
    return Event(event_id, None, event.ts, event.kind, body=event.body, lane=event.lane, lanes=event.lanes)


def _with(event: Event, **fields: Any) -> Event:
    assert isinstance(event.body, dict)
    body = {**event.body, **fields}
    return Event(event.event_id, None, event.ts, event.kind, body=body, lane=event.lane, lanes=event.lanes)


def _state(knowledge: Knowledge) -> str:
    return b64encode(knowledge.encode()).decode()


ANYTHING: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@QUICK
@given(st.sampled_from(["merge", "model"]), st.fixed_dictionaries({}, optional={
    "epoch": ANYTHING | st.integers(0, T0), "from": ANYTHING | st.integers(-1, 3), "state": ANYTHING,
}))  # fmt: skip
def test_any_body_is_counted_and_raises_nothing(kind: str, body: dict[str, Any]) -> None:
    group = Lanes(3).start()
    before = group.digests()
    event = Event("x", None, T0, kind, body=body, lane=0, lanes=3)
    group.give(event)
    told = group.lanes[0].sharing.told
    assert is_exchange(event) == (kind == "merge" or "state" in body)
    if told < 0:
        assert group.digests() == before
        assert sum(group.lanes[0].record.tallies.values()) == 1
    else:
        assert kind == "merge"


def bad_states() -> Sequence[tuple[str, dict[str, Any]]]:
    group = taught()
    group.merge(1)
    event = next(event for event in group.mail if event.lane == 0)
    assert isinstance(event.body, dict)
    known = read_knowledge(b64decode(event.body["state"]))
    other = [
        Knowledge(known.epoch + 1, 1, known.learners),
        Knowledge(known.epoch, 2, known.learners),
        Knowledge(known.epoch, 1, {"a": msgspec.structs.replace(known.learners["event.churn.0"], n=-1)}),
    ]
    return [
        ("own", {"from": 0}), ("beyond", {"from": 3}), ("true", {"from": True}), ("ahead", {"epoch": T0 + 1}),
        ("before", {"epoch": -1}), ("fraction", {"epoch": 1.5}), ("base64", {"state": "===="}),
        ("short", {"state": event.body["state"][:100]}), ("text", {"state": "é"}), ("number", {"state": 5}),
        *((f"forged{n}", {"state": _state(each)}) for n, each in enumerate(other)),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "fields"), bad_states(), ids=lambda each: each if isinstance(each, str) else "")
def test_a_forged_state_is_not_kept_and_the_true_one_still_counts(name: str, fields: dict[str, Any]) -> None:
    group = taught()
    for number in range(3):
        group.merge(number)
    true = next(event for event in group.mail if event.lane == 0 and event.event_id.endswith(":1:0"))
    group.give(_renamed(_with(true, **fields), "forged"))
    assert group.tallies(0) == {"share_bad": 1}
    group.deliver()
    assert group.tallies(0) == {"share_bad": 1, "shared": 1}
