"""The live worker: Faust's consumer group on one side, the engine's lanes in the middle, Redis on the other.

The parts know nothing of each other but what is handed to them: `progress` and `metrics` are told what happened and
answer questions, `health` serves the answers, `log` keeps what customers sent out of the log.
"""

from __future__ import annotations

__all__: list[str] = []
