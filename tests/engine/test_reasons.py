"""Reasons add up to the score and are at most four."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalogue import CATALOGUE, observe
from engine.features import DAY_MS
from engine.memory import Memory
from engine.reasons import MAX_REASONS, OTHER, reasons
from models.logistic import Logistic

terms_of = st.lists(st.floats(-50.0, 50.0), min_size=len(CATALOGUE), max_size=len(CATALOGUE))


@given(st.floats(-20.0, 20.0), terms_of)
def test_bias_and_reasons_add_up_to_the_score(bias: float, terms: list[float]) -> None:
    shown = reasons(bias, terms)
    assert bias + sum(reason.weight for reason in shown) == pytest.approx(bias + math.fsum(terms), abs=1e-9)


@given(terms_of)
def test_at_most_four_reasons_the_heaviest_first_and_other_last(terms: list[float]) -> None:
    shown = reasons(0.0, terms)
    named = [reason for reason in shown if reason.code != OTHER]
    assert len(shown) <= MAX_REASONS
    assert len({reason.code for reason in shown}) == len(shown)
    assert [abs(reason.weight) for reason in named] == sorted((abs(r.weight) for r in named), reverse=True)
    assert OTHER not in [reason.code for reason in shown[:3]]
    if len(shown) == MAX_REASONS:
        assert shown[-1].code == OTHER


def test_groups_that_weigh_the_same_keep_the_order_of_the_catalogue() -> None:
    first_of = {feature.group: place for place, feature in reversed(list(enumerate(CATALOGUE)))}
    terms = [0.0] * len(CATALOGUE)
    for place in first_of.values():
        terms[place] = 1.0
    assert [reason.code for reason in reasons(0.0, terms)] == ["recency", "frequency", "rhythm", OTHER]
    assert reasons(0.0, terms)[-1].weight == len(first_of) - 3.0


def test_a_score_that_nothing_moves_has_no_reasons() -> None:
    assert reasons(-1.5, [0.0] * len(CATALOGUE)) == []


def test_terms_of_another_catalogue_are_refused() -> None:
    with pytest.raises(ValueError, match=f"expected {len(CATALOGUE)} terms"):
        reasons(0.0, [1.0])


def test_reasons_of_a_learned_model_explain_its_probability() -> None:
    model, memory = Logistic(len(CATALOGUE)), Memory("c")
    for day in range(0, 200, 3):
        memory.traits.update(day * DAY_MS, float(day % 7))
        for silence in (0, 5, 20):
            model.learn_one(observe(memory, (day + silence) * DAY_MS, 30 * DAY_MS), silence == 20)
    x = observe(memory, 230 * DAY_MS, 30 * DAY_MS)
    p = model.predict_proba_one(x)
    bias, terms = model.contributions(x)
    shown = reasons(bias, terms)
    assert bias + sum(reason.weight for reason in shown) == pytest.approx(math.log(p / (1.0 - p)), abs=1e-9)
    assert shown[0].code == "recency"
    assert all(reason.text_en and reason.text_zh for reason in shown)
