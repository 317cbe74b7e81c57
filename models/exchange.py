"""What learners tell each other, and what each makes of it.

Several learners of one recipe learn from different customers. At an exchange each hands out what it has learned; with
what all others have handed out it becomes their mean:

* *weights* (and sums of squared gradients) become the mean over the learners, weighted by the number of examples that
  each itself has learned; what a learner has learned since it handed out is added, so that nothing is lost;
* *moments* of the features are put together exactly: own ones with those that the others have seen themselves.

What came from others is remembered (`Foreign`), so that a learner hands out only what it has seen itself and nothing is
counted twice, however often they exchange. Everything is worked out in the order of the learners' numbers, not of
arrival. Covariances of recursive learners stay their own (`models.split_window`).

References
----------
McMahan et al. (2017), Communication-efficient learning of deep networks from decentralized data, AISTATS: the mean of
weights by examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from models.errors import SnapshotDamaged
from models.moments import Moments
from models.snapshot import pack, unpack

__all__ = [
    "Foreign",
    "Knowledge",
    "Learned",
    "Merged",
    "Sharer",
    "fits",
    "is_sound",
    "merge",
    "own",
    "read_knowledge",
]

_KIND: Final = "knowledge"
_MOST_EXAMPLES: Final = 10**12
_LARGEST: Final = 1e30  # a logit that is made of such weights still has a place in single precision
_LARGEST_MEAN: Final = 1e100  # of `models.kernel.INPUT_LIMIT`
_LARGEST_VARIANCE: Final = 1e200


class Learned(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What one learner has learned, in the form in which learners of a recipe can be put together.

    Parameters
    ----------
    recipe
        Two of another recipe are never put together.
    n
        Examples learned.
    means, variances
        Of the features over those examples; empty for a learner that scales nothing.
    numbers
        Lists of what becomes the mean.
    """

    recipe: str
    n: int
    means: Sequence[float]
    variances: Sequence[float]
    numbers: Sequence[Sequence[float]]

    @property
    def moments(self) -> Moments:
        """Examples, means and variances as moments."""
        return Moments(self.n, self.means, self.variances)


class Foreign(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What of a learner's examples and moments came from others.

    Parameters
    ----------
    n, means, variances
        As of `Moments`.
    """

    n: int = 0
    means: Sequence[float] = ()
    variances: Sequence[float] = ()

    @property
    def moments(self) -> Moments:
        """The same as moments."""
        return Moments(self.n, self.means, self.variances)


@runtime_checkable
class Sharer(Protocol):
    """A learner that takes part; both methods must not block."""

    def tell(self) -> Learned:
        """All that was learned, what came from others included."""

    def adopt(self, learned: Learned) -> None:
        """Go on from this, which has the recipe and the lengths of what `tell` gives."""


class Knowledge(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What one place hands out: all its learners at one moment.

    Parameters
    ----------
    epoch
        Which exchange; a later one has a larger number.
    sender
        Number of the place.
    learners
        Name -> what it has learned itself.
    """

    epoch: int
    sender: int
    learners: Mapping[str, Learned]

    def encode(self) -> bytes:
        """The knowledge as data; see `models.snapshot`. About 270 B per feature for the learners of a lane."""
        return pack(_KIND, self)


class Merged(NamedTuple):
    """What an exchange makes of a learner.

    Parameters
    ----------
    learned
        What it goes on from.
    foreign
        What of that came from others.
    """

    learned: Learned
    foreign: Foreign


def read_knowledge(data: bytes) -> Knowledge:
    """What `Knowledge.encode` made, with every number checked: nothing in it can make a learner fail later.

    Raises
    ------
    SnapshotError
        If the bytes are not whole, or hold what no learner can have learned.

    Examples
    --------
    >>> told = Knowledge(7, 3, {"plain": Learned("r1", 2, (0.5,), (0.0,), ((1.5,),))})
    >>> read_knowledge(told.encode()).learners["plain"].numbers
    ((1.5,),)
    """
    raw = unpack(_KIND, data, _Wire)
    learners = {
        name: Learned(r.recipe, r.n, tuple(r.means), tuple(r.variances), tuple(map(tuple, r.numbers)))
        for name, r in raw.learners.items()
    }
    for name, learned in learners.items():
        if not is_sound(learned):
            raise SnapshotDamaged(f"{_KIND}: expected of {name[:64]!r} what can be learned; the state is left out")
    return Knowledge(raw.epoch, raw.sender, learners)


class _WireLearned(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    recipe: str
    n: int
    means: list[float]
    variances: list[float]
    numbers: list[list[float]]


class _Wire(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    epoch: int
    sender: int
    learners: dict[str, _WireLearned]


def is_sound(learned: Learned) -> bool:
    """Whether what was learned can be handed out: counts in their range, as many means as variances, no number absurd.

    Examples
    --------
    >>> is_sound(Learned("r1", 2, (0.5,), (0.0,), ())), is_sound(Learned("r1", 2, (), (), ((float("nan"),),)))
    (True, False)
    """
    return (
        0 <= learned.n <= _MOST_EXAMPLES
        and len(learned.means) == len(learned.variances)
        # Of not a number every comparison is false.
        and all(-_LARGEST_MEAN <= mean <= _LARGEST_MEAN for mean in learned.means)
        and all(0.0 <= variance <= _LARGEST_VARIANCE for variance in learned.variances)
        and all(-_LARGEST <= number <= _LARGEST for numbers in learned.numbers for number in numbers)
    )


def own(now: Learned, foreign: Foreign) -> Learned:
    """What a learner has seen itself: its examples and moments less those of others; its numbers as they are."""
    moments = now.moments.minus(_sized(foreign, now))
    return Learned(now.recipe, moments.n, moments.means, moments.variances, now.numbers)


def fits(told: Learned, other: Learned) -> bool:
    """Whether two can be put together: one recipe, the same lengths."""
    return (
        told.recipe == other.recipe
        and len(told.means) == len(other.means)
        and [len(numbers) for numbers in told.numbers] == [len(numbers) for numbers in other.numbers]
    )


def merge(now: Learned, foreign: Foreign, told: Learned, before: Sequence[Learned], after: Sequence[Learned]) -> Merged:
    """What a learner becomes by an exchange.

    Parameters
    ----------
    now
        What it has learned by now, what came from others earlier included.
    foreign
        What came from others earlier.
    told
        What it handed out itself for this exchange.
    before, after
        What learners with smaller and with larger numbers than its own have handed out, in order; all fit.

    Examples
    --------
    >>> told, other = Learned("r", 1, (), (), ((2.0,),)), Learned("r", 3, (), (), ((6.0,),))
    >>> now = Learned("r", 2, (), (), ((2.5,),))
    >>> merge(now, Foreign(), told, (), (other,)).learned
    Learned(recipe='r', n=5, means=(), variances=(), numbers=((5.5,),))
    """
    theirs = Moments(0, (0.0,) * len(now.means), (0.0,) * len(now.means))
    for other in (*before, *after):
        theirs = theirs.plus(other.moments)
    mine = own(now, foreign).moments
    both = theirs if not mine.n else mine.plus(theirs)
    mean = _mean((*before, told, *after))
    numbers = tuple(
        tuple(m + (n - t) for m, n, t in zip(*lists, strict=True))
        for lists in zip(mean, now.numbers, told.numbers, strict=True)
    )
    learned = Learned(now.recipe, mine.n + theirs.n, both.means, both.variances, numbers)
    return Merged(learned, Foreign(theirs.n, theirs.means, theirs.variances))


def _sized(foreign: Foreign, now: Learned) -> Moments:
    """The moments of others; of nobody they have no features yet."""
    return foreign.moments if foreign.n else Moments(0, (0.0,) * len(now.means), (0.0,) * len(now.means))


def _mean(states: Sequence[Learned]) -> list[list[float]]:
    """The mean of the numbers, weighted by examples; of none if nobody has learned any, those of the first."""
    mean: list[list[float]] = [list(numbers) for numbers in states[0].numbers]
    total = 0
    for state in states:
        if state.n:
            total += state.n
            # As a running mean: the mean of equal numbers is that number to the bit.
            share = state.n / total
            for kept, numbers in zip(mean, state.numbers, strict=True):
                kept[:] = [m + (number - m) * share for m, number in zip(kept, numbers, strict=True)]
    return mean
