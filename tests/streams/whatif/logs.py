"""Logs, rules and the plain way to compare them: two replays, their alert files, sets of names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli.replay import run_replay
from streams.reader.log import open_log

__all__ = ["NEW", "TEXT", "Lists", "plain_lists", "raised", "write"]

TEXT = (
    RuleSet.default()
    .text.replace('"repeat", threshold = 3', '"repeat", threshold = 2')
    .replace('threshold = 2\nwindow = "30d"\nseverity = "high"', 'threshold = 3\nwindow = "30d"\nseverity = "high"', 1)
    .replace('window = "24h"\nexpire', 'window = "12h"\nexpire')
    .replace("[flags.failed_fix]", "[flags.broken_fix]")
    .replace("raise = 0.8\nclear = 0.7", "raise = 0.5\nclear = 0.4")
)
"""Rules that are milder in one place and stricter in another; one flag has another name."""

NEW = RuleSet.parse(TEXT, "new.toml")

Lists = dict[str, dict[str, list[str]]]


def write(path: Path, events: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
    return path


def raised(log: Path, rules: RuleSet, out: Path, lanes: int = 8, share_ms: int | None = None) -> dict[str, set[str]]:
    """Flag -> customers with a line `raise` in the alerts of a replay."""
    settings = ResultSettings(lanes=lanes, rules=rules.version, share_ms=share_ms)
    run_replay(open_log([log]), settings, rules, url="none", outputs={"alerts": out}, quiet=True)
    found: dict[str, set[str]] = {name: set() for name in rules.names()}
    for line in out.read_bytes().splitlines():
        alert = json.loads(line)
        if alert["op"] == "raise":
            found[alert["flag"]].add(alert["customer_id"])
    return found


def plain_lists(
    log: Path, now: RuleSet, new: RuleSet, folder: Path, lanes: int = 8, share_ms: int | None = None
) -> Lists:
    old, later = (raised(log, rules, folder / f"{rules.version}.jsonl", lanes, share_ms) for rules in (now, new))
    return {
        flag: {
            "enter": sorted(later.get(flag, set()) - old.get(flag, set())),
            "leave": sorted(old.get(flag, set()) - later.get(flag, set())),
        }
        for flag in {*old, *later}
    }
