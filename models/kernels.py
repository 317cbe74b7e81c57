"""Which code does the arithmetic of the dense learners: compiled where it can, plain Python where not; the same bits.

`hatch_build.py` makes `models/_compiled` of `models/kernel.py` and bakes the digest of that source into it. Here the
digest is compared with that of the source beside it, so that a compiled module of another source is never used.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Sequence
from importlib.abc import InspectLoader
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

__all__ = ["COMPILED", "CORE", "STATE", "Core", "Frame", "digest", "dot", "grouped", "moved", "products"]


class Core(Protocol):
    """What `models.kernel.Kernel`, its compiled copy and `models.unrolled.Unrolled` have in common.

    All take and give the same numbers, to the bit. A call that raises has changed nothing.

    Attributes
    ----------
    n
        Examples learned.
    """

    n: float

    def __init__(self, n_features: int, loss: int, optimizer: int, settings: Sequence[float]) -> None: ...

    def predict(self, x: Sequence[float]) -> float:
        """The probability or the count that is expected of an example."""

    def explain(self, x: Sequence[float]) -> tuple[float, float, list[float]]:
        """The same; then its terms on the scale of the link: intercept, and one per feature."""

    def learn(self, x: Sequence[float], y: float, counts: Sequence[float] | None = None) -> None:
        """Learn one example; `counts` are by feature, of the examples that had it, and 0 where this one has not."""

    def save(self) -> tuple[float, list[list[float]]]:
        """Intercept; by feature means, variances, weights, squares, residuals."""

    def load(self, n: float, intercept: float, lists: Sequence[Sequence[float]]) -> None:
        """Go on from what `save` gave after `n` examples."""


def digest(source: str) -> str:
    r"""What tells one source of the kernel from another.

    Parameters
    ----------
    source
        Text of `models/kernel.py`; how its lines end does not matter.

    Examples
    --------
    >>> digest("a\n") == digest("a\r\n") != digest("b\n")
    True
    """
    return hashlib.sha256("\n".join(source.splitlines()).encode()).hexdigest()


def _source_digest() -> str | None:
    """The digest of the kernel's source as it is installed; nothing if the source is not."""
    spec = importlib.util.find_spec("models.kernel")
    loader = spec.loader if spec else None
    source = loader.get_source("models.kernel") if isinstance(loader, InspectLoader) else None
    return None if source is None else digest(source)


def _choose() -> tuple[Literal["compiled", "stale", "pure"], type[Core], Any]:
    try:
        compiled: Any = importlib.import_module("models._compiled")
    except ImportError:
        state: Literal["compiled", "stale", "pure"] = "pure"
    else:
        if _source_digest() == compiled.SOURCE:
            return "compiled", cast(type[Core], compiled.Kernel), compiled
        state = "stale"
    # Both cost a millisecond that compiled code need not pay.
    from models import kernel
    from models.unrolled import Unrolled

    return state, Unrolled, kernel


_CHOSEN = _choose()

STATE: Final = _CHOSEN[0]
"""`compiled`; `pure` where no compiled module is installed; `stale` where it is of another source, and not used."""

CORE: Final = _CHOSEN[1]
"""The class that does the arithmetic."""

COMPILED: Final = STATE == "compiled"
"""Whether it is compiled."""

if TYPE_CHECKING:
    from models.kernel import Frame, dot, grouped, moved, products
else:
    _NAMES = ("Frame", "dot", "grouped", "moved", "products")
    Frame, dot, grouped, moved, products = (getattr(_CHOSEN[2], name) for name in _NAMES)
