"""Streams of examples that hypothesis makes, meant to break arithmetic."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["Example", "streams"]

Example = tuple[list[float], bool, float]

# Features that stay, features that stay and then vary, money with refunds, and sizes of every order.
KINDS = st.sampled_from(["constant", "awakes", "refunds", "any", "tiny", "offset", "flag"])
LABELS = st.one_of(st.integers(0, 40).map(float), st.floats(0.0, 1e6), st.just(1e12))


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Example], int]:
    """Examples, each with a yes or no and a count, and the number of their features."""
    features = draw(st.lists(KINDS, min_size=1, max_size=4))
    n = draw(st.integers(1, 60))
    wake = draw(st.integers(0, n))
    columns = []
    for kind in features:
        values = {
            "constant": st.just(draw(st.floats(-1e6, 1e6))),
            "awakes": st.floats(-1e3, 1e3),
            "refunds": st.floats(-1e12, 1e12),
            "any": st.floats(-1e90, 1e90),
            "tiny": st.floats(-1e-300, 1e-300),
            "offset": st.floats(0.0, 1e-3).map(lambda v: 1e12 + v),
            "flag": st.sampled_from([0.0, 1.0]),
        }[kind]
        column = draw(st.lists(values, min_size=n, max_size=n))
        columns.append([0.0] * wake + column[wake:] if kind == "awakes" else column)
    yes = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    counts = draw(st.lists(LABELS, min_size=n, max_size=n))
    return [(list(x), y, c) for x, y, c in zip(zip(*columns, strict=True), yes, counts, strict=True)], len(features)
