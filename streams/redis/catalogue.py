"""Every key in Redis as data: pattern, type, fields with their meaning and size, TTL, writer, reader.

`docs/redis-keys.md` is made from it, `verify` checks a board against it.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.model_watch import DRIFT_FEATURES

__all__ = [
    "ALERTS_MAX",
    "BOARD_KEYS",
    "CONTRACT",
    "CUSTOMER_FIELDS",
    "DELIVERY_TTL_S",
    "FACTS_MAX",
    "INDEXES",
    "INPUT_STALE_MS",
    "INPUT_STATES",
    "LEDGER_KEYS",
    "MODEL_FIELDS",
    "QUEUES",
    "TTL_S",
    "FieldSpec",
    "KeySpec",
    "board_key",
]

CONTRACT = 1
"""Version of the board's contract; changing a key, field or meaning is a new one."""

TTL_S = 430 * 86_400
"""TTL of the keys of customers and open alerts, seconds: 400 d, when a silent customer is retired, and a month.

It collects garbage when no worker is left to do so, and never means anything."""

DELIVERY_TTL_S = 35 * 86_400
"""TTL of the counts of one delivery window, seconds."""

FACTS_MAX = 10_000
"""About how many facts their stream keeps."""

ALERTS_MAX = 100_000
"""About how many alerts the stream keeps."""

INDEXES = ("churn", "engagement_drop", "sensitive", "value_at_risk")
"""Names of the leaderboards."""

QUEUES = ("open", "held")
"""Names of the queues of open alerts."""

INPUT_STATES = ("fresh", "stale", "unknown")
"""What a worker may say of a lane's input."""

INPUT_STALE_MS = 30_000
"""What a worker said of a lane's input longer ago is stale: it says it anew every 10 s."""

_FIGURES = {
    "n": "predictions whose label is known",
    "base_rate": "share of them that came true",
    "mean_p": "their mean prediction; far from `base_rate`, or `mean_y`, the model is off",
    "log_loss": "mean log-loss, nats, lower is better",
    "brier": "mean squared error",
    "ece": "calibration error: mean distance of prediction and share over ten bins",
    "auc": "area under the ROC curve, 0.5 is chance",
    "average_precision": "area under the precision-recall curve",
    "mean_y": "of `engagement_*`: the mean count that came",
    "mae": "of `engagement_*`: mean absolute error",
    "poisson_deviance": "of `engagement_*`: mean Poisson deviance, lower is better",
}
_STANDING = {
    "taken": "examples taken = learned + pending + erased",
    "learned": "examples whose label was learned",
    "pending": "examples that wait for their label",
    "erased": "examples given up with their customer",
    "model": "name of the churn model",
    "version": "version of its recipe",
    "number": "its place among the churn models of the lane",
    "difference": "of a challenger: mean log-loss of the champion less its own, on the same examples, since that one "
    "is champion; below 0 the champion is better",
    "difference_se": "standard error of `difference`, with customers as the sample",
}
_RELIABILITY = "reliability"

MODEL_FIELDS = (
    *_FIGURES,
    *(f"recent_{figure}" for figure in _FIGURES),
    *_STANDING,
    _RELIABILITY,
    *(f"drift_{what}" for what in ("prediction", "residual", *DRIFT_FEATURES)),
)
"""Every field that `model:<name>` may have, without the lane."""

_WORKER = "worker, replay"
_ANYONE = "agent desktops, dashboards, console"
_NOBODY = "nobody but henji"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field of a hash or of a stream entry.

    Parameters
    ----------
    name
        Name, or a pattern with `<...>` for a family of fields.
    meaning
        What it says, with its unit.
    max_bytes
        Longest value in bytes.
    required
        Whether every such hash has it; any other field that is missing is unknown.
    """

    name: str
    meaning: str
    max_bytes: int = 64
    required: bool = False


@dataclass(frozen=True, slots=True)
class KeySpec:
    """A key, or a family of keys.

    Parameters
    ----------
    name
        Name of the family.
    pattern
        The key, after the prefix.
    type
        Type of Redis: `hash`, `list`, `zset`, `stream`, `string`.
    what
        What it is for.
    fields
        Its fields; for other types one line that says what an element is.
    ttl_s
        TTL in seconds, `None` for none.
    writer, reader
        Who.
    max_items
        Most fields, elements or entries; `None` for no limit of its own.
    open_fields
        Whether other fields than those named may occur; `fields` then has a family `<...>` that describes them.
    """

    name: str
    pattern: str
    type: str
    what: str
    fields: tuple[FieldSpec, ...]
    ttl_s: int | None = None
    writer: str = _WORKER
    reader: str = _ANYONE
    max_items: int | None = None
    open_fields: bool = False


def _customer() -> tuple[FieldSpec, ...]:
    return (
        FieldSpec("churn", "probability of no own activity within the churn horizon, 0 to 1, high is risky"),
        FieldSpec("engagement", "expected number of engagement events within the engagement horizon, >= 0"),
        FieldSpec("contact", "probability of a contact within the contact horizon, 0 to 1"),
        FieldSpec("churn_band", "the churn score in words"),
        FieldSpec("stage", "where in their life with us; `lapsed`: they cancelled, or their contract lapsed"),
        FieldSpec("segment", "the first segment"),
        FieldSpec("segments", "all segments, separated by commas"),
        FieldSpec("value", "money of purchases less refunds, major units"),
        FieldSpec("flags_up", "how many flags are up, the number of fields of `flags:<id>`", required=True),
        FieldSpec("lane", "the lane, whose watermark says how far this is read", required=True),
        FieldSpec("as_of", "event time of the last change, ms", required=True),
        FieldSpec("next_change_at", "event time at which something changes if nothing happens, ms"),
        FieldSpec("sensitive", "`1` while the flag `sensitive` is up, else `0`"),
        FieldSpec("rules", "version of the rules in force"),
        FieldSpec("model", "version of the models"),
        FieldSpec("silence_ratio", "silence so far / the customer's own median gap"),
        FieldSpec("capped", "what memory had to let go before its time"),
    )


def _model() -> tuple[FieldSpec, ...]:
    recent = "the same of the last 90 d of predictions, by the lane clock (whole blocks of 30 d: up to 120 d)"
    return (
        *(FieldSpec(f"{name}:<lane>", meaning) for name, meaning in _FIGURES.items()),
        FieldSpec("recent_<figure>:<lane>", recent),
        *(FieldSpec(f"{name}:<lane>", meaning) for name, meaning in _STANDING.items()),
        FieldSpec(
            f"{_RELIABILITY}:<lane>",
            "JSON list of ten, one for each tenth of the scale: `[n, mean prediction, share that came true]`, or null",
            512,
        ),
        FieldSpec(
            "drift_<what>:<lane>",
            "`alarms,at,before,after`: alarms so far that the mean of something has changed, time (ms) and means of "
            "the newest; what: `prediction`, `residual` or a feature",
        ),
    )


CUSTOMER_FIELDS = tuple(field.name for field in _customer())
"""Every field that `customer:<id>` may have."""

BOARD_KEYS = (
    KeySpec(
        "customer",
        "customer:<id>",
        "hash",
        "A customer at a glance. No field is over 64 bytes: with one longer, the hash takes 3.7 times the memory.",
        _customer(),
        TTL_S,
    ),
    KeySpec(
        "flags",
        "flags:<id>",
        "hash",
        "The flags of a customer. A flag is up while the lane's watermark is not past its `until`. No key, but a "
        "customer hash: no flag is up.",
        (
            FieldSpec(
                "<flag>, <flag>/<category>",
                "`[since, until or null, count, severity, alert_id]`, times in ms. A name over 64 bytes is cut at 40 "
                "and ends in `~` and 16 hex digits of the BLAKE2b hash of the whole",
                96,
            ),
        ),
        TTL_S,
        open_fields=True,
    ),
    KeySpec(
        "why",
        "why:<id>",
        "hash",
        "Why a customer is where they are.",
        (
            FieldSpec("churn", "JSON list of reasons of the churn score", 4096),
            FieldSpec("engagement", "JSON list of reasons of the engagement score", 4096),
            FieldSpec("<flag>, <flag>/<category>", "JSON list of the ids of the events that are the evidence", 16384),
        ),
        TTL_S,
        open_fields=True,
    ),
    KeySpec(
        "profile",
        "profile:<id>",
        "hash",
        "Descriptive facts from `profile` events.",
        (FieldSpec("<attribute>", "its last value", 1024),),
        TTL_S,
        max_items=32,
        open_fields=True,
    ),
    KeySpec(
        "history",
        "history:<id>",
        "hash",
        "The last scores of each day, of the newest 30 days that have one.",
        (FieldSpec("<YYYY-MM-DD>", "`[churn, engagement]`", 64),),
        TTL_S,
        max_items=30,
        open_fields=True,
    ),
    KeySpec(
        "timeline",
        "timeline:<id>",
        "list",
        "The last traces of both sides, oldest first: the scene an agent sees.",
        (
            FieldSpec(
                "element",
                "`[at, kind, category, channel, case_id, detail]`, at in ms, the last four perhaps null",
                1024,
            ),
        ),
        TTL_S,
        max_items=20,
    ),
    KeySpec(
        "index",
        "index:<name>",
        "zset",
        "Leaderboards: `churn` (score: churn; every customer with that score who has not lapsed), `sensitive` "
        "(those with `sensitive` = 1), `engagement_drop`, `value_at_risk`. Highest first is most urgent.",
        (FieldSpec("member", "encoded customer id, as in the keys", 2048),),
    ),
    KeySpec(
        "alerts",
        "alerts",
        "stream",
        "Alerts in the order they went out, about the newest 100,000. Use consumer groups; (`alert_id`, `seq`) is the "
        "identity of a message and may come twice. Read the last id (XREVRANGE COUNT 1) before a snapshot of the "
        "flags, and fold the ops from there.",
        (
            FieldSpec("alert_id", "the episode, 16 hex digits", 16, required=True),
            FieldSpec("seq", "the lane's counter", required=True),
            FieldSpec("lane", "the lane; -1: a `service_incident`, with a counter of its own", required=True),
            FieldSpec("line", "the alert as JSON, the public line", 65536, required=True),
            FieldSpec("priority", "integer, 1 (look at it first) to 5", required=True),
            FieldSpec("route", "to whom: `agent:<id>`, `team:<name>`, ...; empty when nobody is known", 1024, True),
            FieldSpec("scene", "JSON list of the traces of the same case or category, oldest first", 65536, True),
            FieldSpec("held", "empty: for people. Else why they are not shown it, docs/desk.md section 2", 128),
            FieldSpec("guidance", "id of a text in `guidance`, or empty", 128),
            FieldSpec("rules", "version of the rules in force"),
            FieldSpec("model", "version of the models", 128),
        ),
    ),
    KeySpec(
        "facts",
        "facts",
        "stream",
        "What people said of alerts, in the order it was applied, about the newest 10,000: acknowledged, snoozed, "
        "judged. (`lane`, `seq`) is the identity of an entry and may come twice. `alert:<alert_id>` has what holds.",
        (
            FieldSpec("alert_id", "the alert", 16, required=True),
            FieldSpec("customer_id", "whose alert it is", 512, required=True),
            FieldSpec("lane", "the lane", required=True),
            FieldSpec("seq", "the lane's counter of facts", required=True),
            FieldSpec("fact", "`ack`, `snooze` or `outcome`", required=True),
            FieldSpec("state", "`up`: it holds; `down`: it was taken back", required=True),
            FieldSpec("at", "time of the word, ms", required=True),
            FieldSpec("by", "who said it, or empty", 512, True),
            FieldSpec("until", "of a snooze: its end, ms"),
            FieldSpec("reason", "of a snooze, or empty", 4096),
            FieldSpec("outcome", "`useful` or `not_useful`"),
        ),
    ),
    KeySpec(
        "alert",
        "alert:<alert_id>",
        "hash",
        "State of an alert that is open, or was closed in the last 14 d (`closed_at`); docs/desk.md.",
        (
            FieldSpec("customer_id", "whose it is", 512, True),
            FieldSpec("flag", "the flag, or `sensitive_contact`", 128, True),
            FieldSpec("category", "the category, if the flag has one", 256),
            FieldSpec("service", "of a `service_incident`: `<dimension>:<value>`", 512),
            FieldSpec("since", "when the episode began, event time, ms", required=True),
            FieldSpec("until", "when it ends if nothing happens, ms; missing: no scheduled end"),
            FieldSpec("count", "counted events, open cases or contacts behind it", required=True),
            FieldSpec("severity", "the rule's own word", 128, True),
            FieldSpec("updated_at", "lane clock of the last change, ms", required=True),
            FieldSpec("lane", "the lane; -1: a `service_incident`, which is of no lane and no customer", required=True),
            FieldSpec("priority", "1 (look at it first) to 5", required=True),
            FieldSpec("route", "to whom, or empty", 1024, True),
            FieldSpec("held", "empty: people were shown it; else why not", 128, True),
            FieldSpec("guidance", "id of a text in `guidance`, or empty", 128, True),
            FieldSpec("closed_at", "when it was cleared, event time, ms; missing: it is open"),
            FieldSpec("acked_by", "who acknowledged it; missing: nobody", 512),
            FieldSpec("acked_at", "when, ms"),
            FieldSpec("snoozed_until", "end of the snooze, ms; in force while the lane's watermark is not past it"),
            FieldSpec("snoozed_by", "who snoozed it", 512),
            FieldSpec("snoozed_at", "when, ms"),
            FieldSpec("snooze_reason", "why", 4096),
            FieldSpec("outcome", "`useful` or `not_useful`"),
            FieldSpec("outcome_by", "who said so", 512),
            FieldSpec("outcome_at", "when, ms"),
        ),
        TTL_S,
    ),
    KeySpec(
        "queue",
        "queue:<name>",
        "zset",
        "Open alerts: `open` (those that people were shown) and `held`. Score: priority x 10^13 + `since` in ms, so "
        "that the first is the one to look at first.",
        (FieldSpec("member", "alert id", 16),),
    ),
    KeySpec(
        "guidance",
        "guidance",
        "hash",
        "What to say and what not to.",
        (FieldSpec("<id>", '`{"say": {"en", "zh"}, "avoid": {"en", "zh"}}`', 8192),),
        open_fields=True,
    ),
    KeySpec(
        "rule",
        "rule:<flag>",
        "hash",
        "How alerts of a rule fare, so far.",
        (
            FieldSpec("raised:<lane>", "alerts that were raised"),
            FieldSpec("delivered:<lane>", "messages that people were shown"),
            FieldSpec("held:<lane>", "messages that were held back"),
            FieldSpec("acked:<lane>", "alerts that were acknowledged, less what was taken back"),
            FieldSpec("snoozed:<lane>", "the same of snoozed"),
            FieldSpec("useful:<lane>", "alerts that people judged useful"),
            FieldSpec("not_useful:<lane>", "alerts that people judged not useful; precision = useful / both"),
        ),
    ),
    KeySpec(
        "delivery",
        "delivery:<window>",
        "hash",
        "What became of the messages of one window of lane clock (its first ms is in the name): delivered, or held and "
        "why.",
        (FieldSpec("<lane>|<reason>|<flag>|<route>", "how many; reason: `delivered`, or as in `held`", 64),),
        DELIVERY_TTL_S,
        open_fields=True,
    ),
    KeySpec(
        "service",
        "service:<dimension>:<value>",
        "hash",
        "Who turned to us about a service, dimension `category` (the first part of the path, and the whole path where "
        "that is more) or `channel`, per 15 min of event time; `~other`: values beyond 256. Each lane writes fields of "
        "its own, and removes them 35 d behind its clock; a total is the sum over the lanes, and final once every lane "
        "clock has passed the bucket by the lateness. At most 36 fields a lane, each at most 4 kB; 200 B with 20 busy "
        "buckets.",
        (
            FieldSpec(
                "<YYYY-MM-DD>:<lane>",
                "a day, UTC: `bucket:customers,requests,complaints`, joined by `;`. Bucket: number of the quarter of "
                "an hour, 0 to 95; customers: distinct ones with a request or complaint; one that is missing had none",
                4096,
            ),
        ),
    ),
    KeySpec(
        "model",
        "model:<name>",
        "hash",
        "How good a model is, per lane (each learns from its own customers), judged by predictions whose label has "
        "come. Names: "
        "`churn_event`, `churn_silence`, `engagement_*`, `contact_*`, by what the score was made at; "
        "`churn_event:<version>` and `churn_silence:<version>` are challengers, which no score on the board is of. "
        "`henji models list` sums up.",
        _model(),
    ),
    KeySpec(
        "meta",
        "meta",
        "hash",
        "Facts about the board itself.",
        (
            FieldSpec("contract", "version of this contract, 1", required=True),
            FieldSpec("engine", "version of henji", required=True),
            FieldSpec("rules", "digest of the rules in force", 128, True),
            FieldSpec("lanes", "number of lanes", required=True),
            FieldSpec("last_write", "wall clock of the last transaction, ms", required=True),
            FieldSpec("watermark:<lane>", "the lane clock: event time up to which everything is applied, ms"),
            FieldSpec(
                "lag:<lane>", "records of the lane's partition that are not applied yet; said with `input:<lane>`"
            ),
            FieldSpec(
                "input:<lane>",
                "the lane's input as its worker said: `fresh`, `stale` (what was sent may not be on the board yet), "
                "`unknown`. Said every 10 s; older than 30 s, it is `stale`; missing, `unknown`",
            ),
            FieldSpec("input_at:<lane>", "wall clock at which `input:<lane>` was said, ms"),
            FieldSpec(
                "last_event_at:<lane>", "when the newest applied record that is no tick was appended to the log, ms"
            ),
            FieldSpec("since", "event time or offset from which on this board knows anything", 128),
            FieldSpec("start", "how the worker was told to begin: `earliest`, `latest`"),
            FieldSpec("desk", "digest of the desk.toml in force", 128),
            FieldSpec("waiting_ms", "after what time of waiting a reader lifts an alert by one priority"),
            FieldSpec("counts:<partition>", "`read,applied,duplicate,late,dead` of a partition so far", 128),
        ),
    ),
)

LEDGER_KEYS = (
    KeySpec(
        "customers",
        "henji:{<lane>}:customers",
        "hash",
        "Memories of the customers.",
        (FieldSpec("<customer id>", "the encoded memory", 65536),),
        reader=_NOBODY,
        open_fields=True,
    ),
    KeySpec(
        "timers",
        "henji:{<lane>}:timers",
        "zset",
        "When each customer's next timer is due.",
        (FieldSpec("member", "customer id; score: event time, ms", 512),),
        reader=_NOBODY,
    ),
    KeySpec(
        "lane",
        "henji:{<lane>}:lane",
        "string",
        "The lane's own state: clock, alert counter, sums, counts.",
        (),
        reader=_NOBODY,
    ),
    KeySpec(
        "models",
        "henji:{<lane>}:models",
        "hash",
        "Snapshots of the models, what exchanges with other lanes need (`share.*`), sums of services (`service.*`).",
        (FieldSpec("<model>", "the snapshot, data with schema and version", 16_777_216),),
        reader=_NOBODY,
        open_fields=True,
    ),
    KeySpec(
        "incidents",
        "henji:{0}:incidents",
        "string",
        "How far totals of services were looked at, and which incidents are open; of the owner of partition 0.",
        (),
        reader=_NOBODY,
    ),
    KeySpec(
        "partition",
        "henji:{0}:partition:<topic>:<n>",
        "hash",
        "The partition record: the guard of every transaction, and where to go on.",
        (
            FieldSpec("schema", "version of the ledger's layout, 1"),
            FieldSpec("topic", "the topic", 256),
            FieldSpec("partition", "the partition"),
            FieldSpec("lanes", "lanes of the deployment"),
            FieldSpec("own", "lanes of this partition, separated by commas", 4096),
            FieldSpec("owner", "token of the owner: a counter and a random part, compared for equality"),
            FieldSpec("next_offset", "offset of the first record that is not applied"),
            FieldSpec("batches", "transactions so far"),
            FieldSpec("read", "records read = applied + duplicate + late + dead"),
            FieldSpec("applied", "records applied"),
            FieldSpec("duplicate", "records that repeated an event"),
            FieldSpec("late", "records that came too late"),
            FieldSpec("dead", "records that are no events of the contract"),
            FieldSpec("last_hash", "hash of the record before `next_offset`", 128),
            FieldSpec("settings", "digest of the result settings", 128),
            FieldSpec("outputs", "JSON: output file -> its length in bytes", 4096),
            FieldSpec("complete", "`1` when the input was read to its end, else `0`"),
            FieldSpec("input", "identity of the input", 4096),
            FieldSpec(
                "append_delays",
                "JSON: lane -> how far its clock was behind when its newest record was appended, ms",
                65536,
            ),
            FieldSpec("written_at", "wall clock of the last transaction, ms"),
            FieldSpec("broken", "the ledger key that could not be written: the partition stays stopped", 4096),
        ),
        reader=_NOBODY,
    ),
    KeySpec(
        "outbox",
        "henji:{0}:outbox:<topic>:<n>",
        "list",
        "Records that are to be produced to Kafka, such as copies of alerts.",
        (FieldSpec("entry", "MessagePack: topic, partition, key, value, headers", 65536),),
        reader=_NOBODY,
    ),
)

_BY_HEAD = {spec.pattern.partition(":")[0]: spec for spec in BOARD_KEYS}


def board_key(name: str) -> tuple[KeySpec, str] | None:
    """The family of a board key and what stands for its `<...>`; `None` for a key that the catalogue does not know.

    Parameters
    ----------
    name
        The key without its prefix.

    Examples
    --------
    >>> spec, rest = board_key("customer:anna:2")
    >>> spec.name, rest
    ('customer', 'anna:2')
    >>> board_key("customers:anna") is None
    True
    """
    head, colon, rest = name.partition(":")
    spec = _BY_HEAD.get(head)
    if spec is None or bool(rest) != (":" in spec.pattern) or bool(colon) != bool(rest):
        return None
    return spec, rest
