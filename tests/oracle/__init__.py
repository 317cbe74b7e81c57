"""The brute-force oracle: every default rule that is not a score, worked out again from `docs/rules.md`.

`expected(log)` gives what an engine must show at the end of a log and the episodes that an in-order log gives;
`replay_alone` and `minimal_evidence_holds` judge an alert's evidence; `strategies` makes logs that hurt. It shares no
code with the engine and imports nothing of it.
"""

from __future__ import annotations

from tests.oracle.result import OracleResult, expected, minimal_evidence_holds, replay_alone

__all__ = ["OracleResult", "expected", "minimal_evidence_holds", "replay_alone"]
