"""Settings: where each value comes from, what it may be, and what it is.

A setting given twice is decided in this order: command line, environment (`HENJI_CHURN_HORIZON` for `churn.horizon`),
settings file (`henji.toml`), default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.contenders import BLEND, check_challenger
from engine.desk import Desk
from engine.duration import DAY_MS, HOUR_MS, MINUTE_MS, format_duration
from engine.errors import ConfigurationError
from engine.event import ACTIVITY, CONTROL, KINDS
from engine.lane import SILENCE_DAYS
from engine.rules import RuleSet
from engine.settings import ResultSettings
from models.errors import ModelError
from streams.setting import (
    Setting,
    address,
    challengers,
    choice,
    duration,
    fuse,
    kinds,
    lateness,
    learner,
    optional_duration,
    optional_text,
    pieces,
    text,
    whole,
)

__all__ = ["DEFAULT_FILE", "SETTINGS", "Setting", "Settings", "load_settings"]

DEFAULT_FILE = "henji.toml"
"""Read from the working directory when no file is named."""


SETTINGS = {
    s.key: s
    for s in (
        Setting("lanes", 8, "a whole number from 1 to 1024", "number of lanes of the deployment", whole(1, 1024)),
        Setting("lateness", HOUR_MS, "a duration such as 1h, 0, or none",
                "an event older than the lane clock by more is late", lateness),
        Setting("churn.horizon", 30 * DAY_MS, "a duration of at most 365d",
                "churn is no own activity within this time", duration(365 * DAY_MS)),
        Setting("churn.activity", ACTIVITY, f"kinds of {', '.join(k for k in KINDS if k not in CONTROL)}",
                "kinds of the customer's own activity", kinds),
        Setting("engagement.horizon", 7 * DAY_MS, "a duration of at most 365d",
                "engagement is the number of engagement events within this time", duration(365 * DAY_MS)),
        Setting("contact.horizon", 7 * DAY_MS, "a duration of at most 365d",
                "the contact score is about this time", duration(365 * DAY_MS)),
        Setting("learning.thin", HOUR_MS, "a duration of at most 365d",
                "a customer gives one training example per trigger and slot of this length", duration(365 * DAY_MS)),
        Setting("learning.max_pending", 32, "a whole number from 1 to 256",
                "most training examples of a customer that wait for their label", whole(1, 256)),
        Setting("learning.learner", "dense", "dense or river",
                "whose arithmetic learns: ours, or River's own; the same numbers", learner),
        Setting("learning.pieces", (0.25, 1.0), "rising shares of the churn horizon, the last 1, at most 8 of them",
                "edges at which the pieces of the churn window are learned", pieces),
        Setting("learning.challengers", (), "plain, or estimators such as river.forest.ARFClassifier(seed=1), one a "
                "line or in a list, at most 8", "churn models that learn beside the one that is shown", challengers),
        Setting("learning.champion", "blend", "blend or one of learning.challengers",
                "the churn model that is shown, until `henji models promote` says otherwise", text),
        Setting("retire", 400 * DAY_MS, "a duration of at most 3650d",
                "a customer silent for so long leaves ledger and board", duration(3650 * DAY_MS)),
        Setting("redis.url", "none", "a URL such as redis://localhost:6379/0, embedded or none",
                "where ledger and board are kept", text),
        Setting("redis.user", "", "a user of Redis's ACL",
                "who we are to Redis; else the one of redis.url", optional_text),
        Setting("redis.password_file", "", "a file",
                "holds the password to Redis; else that of redis.url", optional_text),
        Setting("redis.ca", "", "a file in PEM", "who signed Redis's certificate; rediss:// only", optional_text),
        Setting("redis.sentinels", "", "HOST:PORT,HOST:PORT,...",
                "Sentinels that know the primary; redis.url then gives scheme and database only", optional_text),
        Setting("redis.service", "mymaster", "a name", "of the primary, to its Sentinels", text),
        Setting("redis.sentinel.user", "", "a user of the Sentinels' ACL", "who we are to Sentinels", optional_text),
        Setting("redis.sentinel.password_file", "", "a file", "holds the password to the Sentinels", optional_text),
        Setting("redis.prefix", "risk:", "a prefix such as risk:", "begins every key of the live board", text),
        Setting("kafka.brokers", "localhost:9092", "HOST:PORT,HOST:PORT,...", "where Kafka is first asked", text),
        Setting("kafka.topic", "events", "a topic", "the events, keyed by customer", text),
        Setting("kafka.dead", "", "a topic", "dead letters; empty: the events topic with .dead", optional_text),
        Setting("kafka.late", "", "a topic", "late events; empty: the events topic with .late", optional_text),
        Setting("kafka.alerts", "", "a topic or none", "also send alerts there, such as risk.alerts", optional_text),
        Setting("kafka.group", "henji", "a name", "consumer group; name the environment in it", text),
        Setting("kafka.partitions", 8, "a whole number from 1 to 1024 that divides lanes",
                "partitions of a topic that `henji topics create` makes", whole(1, 1024)),
        Setting("kafka.replication", 1, "a whole number from 1 to 16", "copies of each partition", whole(1, 16)),
        Setting("kafka.retention", 400 * DAY_MS, "a duration of at most 36500d, or none",
                "how long the events topic keeps records", optional_duration(36_500 * DAY_MS)),
        Setting("kafka.isolation", "read_committed", "read_committed or read_uncommitted",
                "whether records of aborted transactions are read", choice("read_committed", "read_uncommitted")),
        Setting("kafka.security", "plaintext", "plaintext, ssl, sasl_ssl or sasl_plaintext",
                "how to talk to Kafka", choice("plaintext", "ssl", "sasl_ssl", "sasl_plaintext")),
        Setting("kafka.sasl.mechanism", "SCRAM-SHA-512", "SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN",
                "how to prove who we are", choice("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")),
        Setting("kafka.sasl.user", "", "a name", "who we are to Kafka", optional_text),
        Setting("kafka.sasl.password_file", "", "a file", "holds the password to Kafka", optional_text),
        Setting("kafka.tls.ca", "", "a file in PEM",
                "who signed Kafka's certificate; empty: the system's", optional_text),
        Setting("kafka.tls.cert", "", "a file in PEM", "our own certificate", optional_text),
        Setting("kafka.tls.key", "", "a file in PEM", "the key of our certificate", optional_text),
        Setting("worker.instance", "", "a name that only this worker has",
                "static member of the group: back within the session timeout, it gets its partitions at once",
                optional_text),
        Setting("worker.session_timeout", 6_000, "a duration of at most 30m",
                "after so long without a heartbeat the partitions go to others", duration(30 * MINUTE_MS)),
        Setting("worker.poll_records", 4_000, "a whole number from 1 to 50000",
                "most records of one batch", whole(1, 50_000)),
        Setting("worker.fetch_bytes", 2 * 1024**2, "a whole number from 65536 to 67108864",
                "most bytes of one fetch of a partition", whole(65_536, 64 * 1024**2)),
        Setting("worker.tick", MINUTE_MS, "a duration of at most 1d, or none",
                "an idle lane whose clock is further behind gets a tick", optional_duration(DAY_MS)),
        Setting("worker.share", DAY_MS, "a duration from 1min to 365d, or none",
                "how often lanes tell each other what they have learned", optional_duration(365 * DAY_MS, MINUTE_MS)),
        Setting("worker.fuse", 0.95, "a share from 0 to 1, or off",
                "the worker stops when more of the last 1,000 records of a partition are dead", fuse),
        Setting("worker.http", "127.0.0.1:6067", "HOST:PORT or off", "metrics and health", address),
        Setting("worker.log", "text", "text or json", "form of the log", choice("text", "json")),
        Setting("intake.listen", "127.0.0.1:6068", "HOST:PORT", "where the intake takes events", address),
        Setting("intake.token_file", "", "a file", "holds the tokens that may send, one a line", optional_text),
        Setting("intake.max_bytes", 8 * 1024**2, "a whole number from 1024 to 268435456",
                "longest request", whole(1_024, 256 * 1024**2)),
        Setting("replay.share", None, "a duration from 1min to 365d, or none",
                "play an exchange of what the lanes have learned this often, as live workers have one",
                optional_duration(365 * DAY_MS, MINUTE_MS)),
        Setting("rules", "", "a rules file", "rules other than the built-in ones", text),
        Setting("desk", "", "a desk file", "routes, priorities, caps and guidance other than the built-in ones", text),
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

    def desk(self) -> Desk:
        """The service desk in force.

        Raises
        ------
        RulesError
            If the file is not a valid desk.
        ConfigurationError
            If it cannot be read, or a cap cannot be shared out among the lanes.
        """
        path = self["desk"]
        desk = Desk.parse(_read(Path(path), f"desk ({self.origins['desk']})"), path) if path else Desk.default()
        desk.check_lanes(self["lanes"])
        return desk

    def result(self, rules: RuleSet) -> ResultSettings:
        """What the answers depend on."""
        retire = self["retire"]
        horizons = [self[f"{score}.horizon"] for score in ("churn", "engagement", "contact")]
        least = SILENCE_DAYS[-1] * DAY_MS + max(horizons)
        if retire <= least:
            raise ConfigurationError(
                f"retire ({self.origins['retire']}): expected longer than the last silence landmark and the longest "
                f"horizon together ({format_duration(least)}), got {format_duration(retire)}; a customer must be "
                "remembered until their labels are known"
            )
        champion, challengers = self["learning.champion"], self["learning.challengers"]
        if champion != BLEND:
            champion = self._champion(champion, challengers)
        return ResultSettings(
            lanes=self["lanes"],
            lateness_ms=self["lateness"],
            churn_horizon_ms=self["churn.horizon"],
            engagement_horizon_ms=self["engagement.horizon"],
            contact_horizon_ms=self["contact.horizon"],
            pieces=self["learning.pieces"],
            activity=self["churn.activity"],
            thin_ms=self["learning.thin"],
            max_pending=self["learning.max_pending"],
            retire_ms=retire,
            learner=self["learning.learner"],
            challengers=challengers,
            champion=champion,
            rules=rules.version,
        )

    def replayed(self, rules: RuleSet) -> ResultSettings:
        """What the answers of a replay of files depend on."""
        return replace(self.result(rules), share_ms=self["replay.share"])

    def _champion(self, champion: str, challengers: Sequence[str]) -> str:
        """The name of a challenger as it stands among them."""
        try:
            name = check_challenger(champion)
        except ValueError:
            name = champion
        if name not in challengers:
            raise ConfigurationError(
                f"learning.champion ({self.origins['learning.champion']}): expected {BLEND} or one of "
                f"learning.challengers ({', '.join(challengers) or 'there are none'}), got {champion!r}; only a model "
                "that learns can be shown"
            )
        return name


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
            # Of a model's text the reader of it knows which word is wrong.
            why = f"; {error}" if isinstance(error.__cause__, ModelError) else ""
            raise ConfigurationError(f"{key} ({origin}): expected {setting.expected}, got {value!r}{why}") from error
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
