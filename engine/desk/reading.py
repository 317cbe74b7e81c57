"""Reads desk.toml: validated whole or refused whole, with the line and the field in the message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.rules.locate import Path
from engine.rules.reading import TableReader

__all__ = ["LANGUAGES", "DeskReader"]

LANGUAGES = ("en", "zh")
"""Languages of the texts."""

_TABLES = ("version", "categories", "owners", "queues", "agents", "priority", "caps", "guidance", "incident")
_MAX_ENTRIES = 10_000
_MAX_GUIDANCE = 256
_MAX_TEXT = 2_000
_CAPS: dict[str, tuple[int, str]] = {"customer": (5, "1h"), "team": (1024, "1h")}


class DeskReader(TableReader):
    """Turns the text of desk.toml into plain values.

    Parameters
    ----------
    text
        The TOML text.
    source
        Name of the file, for messages.

    Raises
    ------
    RulesError
        From every method, at the first thing that is wrong; nothing of the file is used then.
    """

    def __init__(self, text: str, source: str) -> None:
        super().__init__(text, source)
        self.known(self.root, (), _TABLES, f"only {', '.join(_TABLES)}")
        version = self.root.get("version")
        if type(version) is not int or version != 1:
            self.fail(("version",), "1", version)
        self._caps = self._table(self.root, "caps", ())
        self.known(self._caps, ("caps",), tuple(_CAPS), "`customer` and `team`")
        self._priority = self._table(self.root, "priority", ())
        self.known(self._priority, ("priority",), ("severity", "tiers", "waiting"), "`severity`, `tiers`, `waiting`")

    def mapping(self, name: str) -> dict[str, str]:
        """A table of names."""
        table = self._table(self.root, name, ())
        if len(table) > _MAX_ENTRIES:
            self.fail((name,), f"at most {_MAX_ENTRIES} entries", len(table))
        return {key: self._name(value, (name, key)) for key, value in table.items()}

    def steps(self) -> dict[str, int]:
        """Severity -> step of the priority."""
        table = self._table(self._priority, "severity", ("priority",))
        return {key: self._step(value, ("priority", "severity", key)) for key, value in table.items()}

    def tiers(self) -> list[dict[str, Any]]:
        """Value tiers, as keyword arguments of `Tier`."""
        out: list[dict[str, Any]] = []
        for i, entry in enumerate(self.tables(self._priority.get("tiers", []), ("priority", "tiers"), 0)):
            path: Path = ("priority", "tiers", i)
            allowed = ("name", "step", "min_value", "attribute", "equals")
            self.known(entry, path, allowed, f"only {', '.join(allowed)}")
            tier: dict[str, Any] = {
                "name": self._name(entry.get("name"), (*path, "name")),
                "step": self._step(entry.get("step", -1), (*path, "step")),
            }
            if "min_value" in entry:
                if "attribute" in entry:
                    self.fail((*path, "attribute"), "either min_value, or attribute with equals", "both")
                tier["min_value"] = self.number(entry, "min_value", path)
            else:
                tier["attribute"] = self._name(entry.get("attribute"), (*path, "attribute"))
                tier["equals"] = self._name(entry.get("equals"), (*path, "equals"))
            out.append(tier)
        return out

    def cap(self, name: str) -> tuple[int, int]:
        """Number and window (ms) of a cap."""
        n, window = _CAPS[name]
        path: Path = ("caps", name)
        table = self._table(self._caps, name, ("caps",))
        self.known(table, path, ("n", "window"), "`n` and `window`")
        value = table.get("n", n)
        most = 100 if name == "customer" else 1_000_000
        if type(value) is not int or not 1 <= value <= most:
            self.fail((*path, "n"), f"an integer from 1 to {most}", value)
        return value, self.duration(table, "window", path, window)

    def waiting(self) -> int:
        """After what time of waiting an alert is lifted by one, ms."""
        return self.duration(self._priority, "waiting", ("priority",), "4h")

    def guidance(self) -> list[dict[str, Any]]:
        """Texts, as keyword arguments of `Guidance`."""
        out: list[dict[str, Any]] = []
        entries = self.tables(self.root.get("guidance", []), ("guidance",), 0)
        if len(entries) > _MAX_GUIDANCE:
            self.fail(("guidance",), f"at most {_MAX_GUIDANCE} entries", len(entries))
        seen: set[str] = set()
        for i, entry in enumerate(entries):
            path: Path = ("guidance", i)
            allowed = ("id", "flag", "category", "segment", "say", "avoid")
            self.known(entry, path, allowed, f"only {', '.join(allowed)}")
            key = self._name(entry.get("id"), (*path, "id"))
            if key in seen:
                self.fail((*path, "id"), "an id that no other entry has", key)
            seen.add(key)
            where = {
                name: self._name(entry[name], (*path, name)) if name in entry else ""
                for name in ("flag", "category", "segment")
            }
            texts = {name: self._texts(entry.get(name, {}), (*path, name)) for name in ("say", "avoid")}
            if not any(texts.values()):
                self.fail((*path, "say"), "a text to say or to avoid", entry.get("say"))
            out.append({"key": key, **where, **texts})
        return out

    def incident(self) -> dict[str, Any]:
        """When many customers at once are an incident, as keyword arguments of `IncidentRule`."""
        path: Path = ("incident",)
        table = self._table(self.root, "incident", ())
        allowed = ("min_customers", "max_chance", "min_history", "settle")
        self.known(table, path, allowed, f"only {', '.join(allowed)}")
        out: dict[str, Any] = {}
        if "min_customers" in table:
            value = table["min_customers"]
            if type(value) is not int or not 2 <= value <= 1_000_000:
                self.fail((*path, "min_customers"), "an integer from 2 to 1000000", value)
            out["min_customers"] = value
        if "max_chance" in table:
            chance = self.number(table, "max_chance", path)
            if not 0 < chance <= 0.05:
                self.fail((*path, "max_chance"), "a number over 0, at most 0.05", chance)
            out["max_chance"] = chance
        for name in ("min_history", "settle"):
            if name in table:
                out[f"{name}_ms"] = self.duration(table, name, path)
        return out

    def _table(self, above: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
        table = above.get(name, {})
        if not isinstance(table, dict):
            self.fail((*path, name), "a table", table)
        return table

    def _name(self, value: object, path: Path) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= 128 or not value.isprintable():
            self.fail(path, "a text of 1 to 128 printable characters", value)
        return value

    def _step(self, value: object, path: Path) -> int:
        if type(value) is not int or not -4 <= value <= 4:
            self.fail(path, "an integer from -4 (more urgent) to 4", value)
        return value

    def _texts(self, value: object, path: Path) -> dict[str, str]:
        if not isinstance(value, dict):
            self.fail(path, "a table of `en` and `zh`", value)
        self.known(value, path, LANGUAGES, "`en` and `zh`")
        for language, text in value.items():
            if not isinstance(text, str) or not 1 <= len(text) <= _MAX_TEXT:
                self.fail((*path, language), f"a text of 1 to {_MAX_TEXT} characters", text)
        return dict(value)
