"""How the weights of a dense learner move: River's SGD, AdaGrad and FTRL-proximal, with River's names and defaults."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from models import kernel

__all__ = ["LARGEST", "SGD", "SMALLEST", "AdaGrad", "FTRLProximal", "Optimizer"]

SMALLEST: Final = 1e-12
LARGEST: Final = 1e12
"""Bounds of rates and penalties. Between them no weight can leave the range of floats, whatever the stream."""


class SGD(msgspec.Struct, frozen=True, array_like=True, tag="sgd", forbid_unknown_fields=True):
    """Plain stochastic gradient descent: follows what changes, and never settles.

    Parameters
    ----------
    lr
        Learning rate, 1e-12 to 1e12.

    Examples
    --------
    >>> SGD(lr=0.0)
    Traceback (most recent call last):
    ...
    ValueError: lr: expected a number from 1e-12 to 1e+12, got 0.0
    """

    CODE: ClassVar[int] = kernel.SGD
    TAG: ClassVar[str] = "sgd"

    lr: float = 0.01

    def __post_init__(self) -> None:
        _within("lr", self.lr, SMALLEST)

    @property
    def rate(self) -> float:
        """Learning rate of the weights."""
        return self.lr

    @property
    def extras(self) -> tuple[float, float, float]:
        """What `models.kernel.Kernel` takes beside it."""
        return 0.0, 0.0, 0.0


class AdaGrad(msgspec.Struct, frozen=True, array_like=True, tag="adagrad", forbid_unknown_fields=True):
    """A rate per weight that falls as its gradients add up: robust, and slow to follow what changes after years.

    Parameters
    ----------
    lr
        Learning rate, 1e-12 to 1e12.
    eps
        Added under the root, > 0.

    References
    ----------
    [^1]: Duchi, Hazan, Singer (2011), Adaptive subgradient methods for online learning and stochastic optimization.
    """

    CODE: ClassVar[int] = kernel.ADAGRAD
    TAG: ClassVar[str] = "adagrad"

    lr: float = 0.1
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _within("lr", self.lr, SMALLEST)
        _within("eps", self.eps, SMALLEST)

    @property
    def rate(self) -> float:
        """Learning rate of the weights."""
        return self.lr

    @property
    def extras(self) -> tuple[float, float, float]:
        """What `models.kernel.Kernel` takes beside it."""
        return self.eps, 0.0, 0.0


class FTRLProximal(msgspec.Struct, frozen=True, array_like=True, tag="ftrl", forbid_unknown_fields=True):
    """Follow the regularized leader: AdaGrad's rates, weights pulled to 0, and held at 0 by `l1` until it is exceeded.

    As River has it: a weight follows the examples before the one that is learned, and a weight that has left 0 does
    not return to just 0.

    Parameters
    ----------
    alpha
        Learning rate, 1e-12 to 1e12.
    beta
        Added to the root of the sum of squared gradients, >= 0.
    l1, l2
        Penalties, >= 0. `beta` and `l2` may not both be 0.

    References
    ----------
    [^1]: McMahan et al. (2013), Ad click prediction: a view from the trenches.
    """

    CODE: ClassVar[int] = kernel.FTRL
    TAG: ClassVar[str] = "ftrl"

    alpha: float = 0.05
    beta: float = 1.0
    l1: float = 0.0
    l2: float = 1.0

    def __post_init__(self) -> None:
        _within("alpha", self.alpha, SMALLEST)
        _within("beta", self.beta, 0.0)
        _within("l1", self.l1, 0.0)
        _within("l2", self.l2, 0.0)
        _within("beta + l2", self.beta + self.l2, SMALLEST)

    @property
    def rate(self) -> float:
        """Learning rate of the weights."""
        return self.alpha

    @property
    def extras(self) -> tuple[float, float, float]:
        """What `models.kernel.Kernel` takes beside it."""
        return self.beta, self.l1, self.l2


Optimizer = SGD | AdaGrad | FTRLProximal
"""One of them."""


def _within(name: str, value: float, least: float) -> None:
    # Written so that NaN, of which every comparison is false, is refused too.
    if not least <= value <= LARGEST:
        raise ValueError(f"{name}: expected a number from {least:g} to {LARGEST:g}, got {value!r}")
