"""Settings: where each value comes from, what it may be, and what it is.

A setting given twice is decided in this order: command line, environment (`HENJI_CHURN_HORIZON` for `churn.horizon`),
settings file (`henji.toml`), default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.duration import DAY_MS, HOUR_MS, format_duration, parse_duration
from engine.errors import ConfigurationError
from engine.event import ACTIVITY, CONTROL, KINDS
from engine.lane import SILENCE_DAYS
from engine.rules import RuleSet
from engine.scoring import LEARNERS
from engine.settings import ResultSettings

__all__ = ["DEFAULT_FILE", "SETTINGS", "Setting", "Settings", "load_settings"]

DEFAULT_FILE = "henji.toml"
"""Read from the working directory when no file is named."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Parameters
    ----------
    key
        Dotted name.
    default
        Its value when nobody says otherwise.
    expected
        What it may be, for messages.
    meaning
        One sentence.
    parse
        Text, or a value of the TOML file, to the value; raises ValueError or TypeError.
    """

    key: str
    default: Any
    expected: str
    meaning: str
    parse: Callable[[Any], Any]


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError
        number = int(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _duration(longest_ms: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        ms = parse_duration(value)
        if ms > longest_ms:
            raise ValueError
        return ms

    return parse


def _lateness(value: Any) -> int | None:
    if value == "none":
        return None
    return 0 if value == "0" or (value == 0 and not isinstance(value, bool)) else parse_duration(value)


def _kinds(value: Any) -> frozenset[str]:
    kinds = value.split(",") if isinstance(value, str) else value
    if not isinstance(kinds, list) or not all(isinstance(k, str) for k in kinds):
        raise TypeError
    found = frozenset(k.strip() for k in kinds)
    if not found or found - (KINDS.keys() - CONTROL):
        raise ValueError
    return found


def _learner(value: Any) -> str:
    if value not in LEARNERS:
        raise ValueError
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


SETTINGS = {
    s.key: s
    for s in (
        Setting("lanes", 8, "a whole number from 1 to 1024", "number of lanes of the deployment", _whole(1, 1024)),
        Setting("lateness", HOUR_MS, "a duration such as 1h, 0, or none",
                "an event older than the lane clock by more is late", _lateness),
        Setting("churn.horizon", 30 * DAY_MS, "a duration of at most 365d",
                "churn is no own activity within this time", _duration(365 * DAY_MS)),
        Setting("churn.activity", ACTIVITY, f"kinds of {', '.join(k for k in KINDS if k not in CONTROL)}",
                "kinds of the customer's own activity", _kinds),
        Setting("engagement.horizon", 7 * DAY_MS, "a duration of at most 365d",
                "engagement is the number of engagement events within this time", _duration(365 * DAY_MS)),
        Setting("learning.thin", HOUR_MS, "a duration of at most 365d",
                "a customer gives one training example per trigger and slot of this length", _duration(365 * DAY_MS)),
        Setting("learning.max_pending", 32, "a whole number from 1 to 256",
                "most training examples of a customer that wait for their label", _whole(1, 256)),
        Setting("learning.learner", "dense", "dense or river",
                "whose arithmetic learns: ours, or River's own; the same numbers", _learner),
        Setting("retire", 400 * DAY_MS, "a duration of at most 3650d",
                "a customer silent for so long leaves ledger and board", _duration(3650 * DAY_MS)),
        Setting("redis.url", "none", "a URL such as redis://localhost:6379/0, embedded or none",
                "where ledger and board are kept", _text),
        Setting("rules", "", "a rules file", "rules other than the built-in ones", _text),
    )
}  # fmt: skip
"""Every setting by its key."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force.

    Parameters
    ----------
    values
        Key -> value.
    origins
        Key -> where it was set, for messages and `henji doctor`.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def rule_set(self) -> RuleSet:
        """The rules in force.

        Raises
        ------
        RulesError
            If the file is not a valid rule set.
        ConfigurationError
            If it cannot be read.
        """
        path = self["rules"]
        if not path:
            return RuleSet.default()
        return RuleSet.parse(_read(Path(path), f"rules ({self.origins['rules']})"), path)

    def result(self, rules: RuleSet) -> ResultSettings:
        """What the answers depend on."""
        retire = self["retire"]
        least = SILENCE_DAYS[-1] * DAY_MS + max(self["churn.horizon"], self["engagement.horizon"])
        if retire <= least:
            raise ConfigurationError(
                f"retire ({self.origins['retire']}): expected longer than the last silence landmark and the longest "
                f"horizon together ({format_duration(least)}), got {format_duration(retire)}; a customer must be "
                "remembered until their labels are known"
            )
        return ResultSettings(
            lanes=self["lanes"],
            lateness_ms=self["lateness"],
            churn_horizon_ms=self["churn.horizon"],
            engagement_horizon_ms=self["engagement.horizon"],
            activity=self["churn.activity"],
            thin_ms=self["learning.thin"],
            max_pending=self["learning.max_pending"],
            retire_ms=retire,
            learner=self["learning.learner"],
            rules=rules.version,
        )


def load_settings(
    file: Path | None, environment: Mapping[str, str], command_line: Sequence[tuple[str, str, str]] = ()
) -> Settings:
    """Put the settings together.

    Parameters
    ----------
    file
        Settings file; `None`: `henji.toml` of the working directory, if there is one.
    environment
        Environment variables; those that begin with `HENJI_` must be settings.
    command_line
        Triples of key, value and the option that gave it.

    Raises
    ------
    ConfigurationError
        With the key, the place where it was set, what was expected and what came.

    Examples
    --------
    >>> settings = load_settings(None, {"HENJI_CHURN_HORIZON": "90d"}, [("lanes", "1", "--lanes")])
    >>> settings["churn.horizon"] == 90 * DAY_MS, settings["lanes"], settings.origins["lanes"]
    (True, 1, '--lanes')
    """
    values = {key: s.default for key, s in SETTINGS.items()}
    origins = dict.fromkeys(SETTINGS, "default")

    def put(key: str, value: Any, origin: str) -> None:
        setting = SETTINGS.get(key)
        if setting is None:
            raise ConfigurationError(f"{origin}: expected one of {', '.join(SETTINGS)}, got {key!r}")
        try:
            values[key] = setting.parse(value)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{key} ({origin}): expected {setting.expected}, got {value!r}") from error
        origins[key] = origin

    path = file if file is not None else Path(DEFAULT_FILE)
    if file is not None or path.is_file():
        for key, value in _flat(_table(path)):
            put(key, value, str(path))
    by_variable = {"HENJI_" + key.upper().replace(".", "_"): key for key in SETTINGS}
    for name, value in sorted(environment.items()):
        if name in by_variable:
            put(by_variable[name], value, name)
        elif name.startswith("HENJI_"):
            raise ConfigurationError(f"{name}: expected one of {', '.join(sorted(by_variable))}; unset it")
    for key, value, option in command_line:
        put(key, value, option)
    return Settings(values, origins)


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path, "settings file"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: expected TOML, got {error}") from error


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{what}: expected a readable UTF-8 file at {path}, got {error}") from error


def _flat(table: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for key, value in table.items():
        out += _flat(value, f"{above}{key}.") if isinstance(value, dict) else [(above + key, value)]
    return out
