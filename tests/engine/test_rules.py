"""The rules file: read whole or refused whole, known by its meaning, and its numbers are those that flags go by."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest

from engine.errors import RulesError
from engine.event import Event
from engine.rules import RuleSet
from engine.rules.locate import line_of
from engine.rules.rule import CompositeRule, CountRule, OverdueRule, ScoreRule
from tests.engine.runs import DAY, HOUR, T0, FixedModels, Run, trace
from tests.oracle.rules import DEFAULT

DEFAULT_TEXT = files("engine.rules").joinpath("default.toml").read_text("utf-8")


# The default set


def test_the_default_rules_have_the_numbers_of_the_documentation() -> None:
    rules = {rule.name: rule for rule in RuleSet.default().rules}
    for count in DEFAULT.counts:
        rule = rules[count.flag]
        assert isinstance(rule, CountRule)
        assert rule.level == (-1 if count.level is None else count.level)
        tiers = [(t.threshold, t.window_ms) for t in rule.tiers]
        assert tiers == [(t.threshold, t.window) for t in count.tiers]
    for overdue in DEFAULT.overdue:
        rule = rules[overdue.flag]
        assert isinstance(rule, OverdueRule)
        assert (rule.window_ms, rule.expire_ms) == (overdue.window, overdue.expire)
    (composite,) = DEFAULT.composites
    assert isinstance(rules["sensitive"], CompositeRule)
    assert (rules["sensitive"].any_of, rules["sensitive"].hold_ms) == (composite.members, composite.hold)
    churn, drop = rules["churn_risk"], rules["engagement_drop"]
    assert isinstance(churn, ScoreRule)
    assert isinstance(drop, ScoreRule)
    assert (churn.raise_at, churn.clear_at, churn.hold_ms, churn.below, churn.own) == (0.8, 0.7, DAY, False, False)
    assert (drop.raise_at, drop.below, drop.own) == (0.5, True, True)
    assert [r.name for r in RuleSet.default().rules if isinstance(r, CompositeRule | ScoreRule)] == [
        "sensitive",
        "churn_risk",
        "engagement_drop",
    ]


# Version


def test_version_ignores_comments_and_layout() -> None:
    bare = "\n".join(line for line in DEFAULT_TEXT.splitlines() if line.strip() and not line.startswith("#"))
    assert bare != DEFAULT_TEXT
    for same in (
        bare,
        bare.replace(" = ", "="),
        "# another first line\n" + DEFAULT_TEXT.replace("\n[", "\n\n# a comment\n["),
        DEFAULT_TEXT.replace('"24h"', '"1 d"'),
        DEFAULT_TEXT.replace("raise = 0.8", "raise = 0.80"),
    ):
        assert RuleSet.parse(same).version == RuleSet.default().version


CODE = re.sub(r"#.*", lambda comment: " " * len(comment[0]), DEFAULT_TEXT)
NUMBERS = [m.span() for m in re.finditer(r"(?<![\w.-])-?\d+(?:\.\d+)?", CODE)]


def test_version_changes_with_any_number() -> None:
    versions = {RuleSet.default().version}
    n_numbers = 0
    for start, end in NUMBERS:
        number = DEFAULT_TEXT[start:end]
        changed = f"{float(number) - 0.01:.2f}" if "." in number else str(int(number) + 1)
        text = DEFAULT_TEXT[:start] + changed + DEFAULT_TEXT[end:]
        line = DEFAULT_TEXT[: DEFAULT_TEXT.index("\n", end)].rpartition("\n")[2]
        if line == "version = 1" or line.strip().startswith(('{ kinds = ["complaint"], threshold', "{ threshold")):
            # The version of the format is no number of a rule, and `distinct_case` takes thresholds of 1 only.
            continue
        versions.add(RuleSet.parse(text).version)
        n_numbers += 1
    assert n_numbers > 40
    assert len(versions) == n_numbers + 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('kinds = ["request"]', 'kinds = ["suggestion"]'),
        ('level = "leaf"', 'level = "none"'),
        ('severity = "burst"', 'severity = "rush"'),
        ("distinct_case = true", "distinct_case = false"),
        ('outcome = "reached"', 'outcome = "no_answer"'),
        ('direction = "below"', 'direction = "below"\nexpected_end = true'),
        ("priority = 1", "priority = 2"),
        ("[flags.unresolved]", "[flags.open_case]"),
        ('inhibited_by = ["sensitive"]', 'inhibited_by = ["unresolved"]'),
        ('campaign = "same"', 'campaign = "none", kinds = ["view"]'),
        ('hold = "30d"', 'hold = "30d"\n[flags.sensitive.segments.vip]\nhold = "60d"'),
        ('level = "leaf"', 'level = "leaf"\nwhere = { channel = "app" }'),
        ('level = "leaf"', 'level = "leaf"\nwhere = { segment = "vip" }'),
    ],
)
def test_version_changes_with_any_meaning(old: str, new: str) -> None:
    assert old in DEFAULT_TEXT
    assert RuleSet.parse(DEFAULT_TEXT.replace(old, new, 1)).version != RuleSet.default().version


def test_version_does_not_depend_on_the_order_in_which_kinds_are_named() -> None:
    one, other = (
        RuleSet.parse(f'version = 1\n[flags.x]\nshape = "count"\nkinds = {kinds}\nthreshold = 2\nwindow = "1d"')
        for kinds in ('["view", "session"]', '["session", "view"]')
    )
    assert one.version == other.version


# Mistakes

COUNT = """\
version = 1
[flags.x]
shape = "count"
kinds = ["request"]
threshold = 2
window = "7d"
"""
TIERS = """\
version = 1
[flags.x]
shape = "count"
kinds = ["request"]
tiers = [
  { severity = "low", threshold = 2, window = "1d" },
  { severity = "high", threshold = 3, window = "7d" },
]
"""
GROUPS = """\
version = 1
[flags.x]
shape = "groups"
window = "7d"
groups = [
  { kinds = ["request"], threshold = 1 },
  { kinds = ["complaint"], threshold = 1 },
]
"""
OVERDUE = """\
version = 1
[flags.x]
shape = "overdue"
first = [{ kinds = ["complaint"] }]
then = [
  { kinds = ["handling"] },
  { kinds = ["outreach"], where = { outcome = "reached" } },
]
window = "1d"
"""
SCORE = """\
version = 1
[flags.x]
shape = "score"
score = "churn"
raise = 0.8
clear = 0.7
"""
COMPOSITE = (
    COUNT
    + """\
[flags.y]
shape = "composite"
any = ["x"]
hold = "30d"
"""
)
SEGMENT = (
    COUNT
    + """\
[flags.x.segments.vip]
threshold = 3
"""
)

MISTAKES: list[tuple[str, str, str, int, str, str]] = [
    # id, text, replacement `old -> new`, line, field, what the message must say
    ("no_version", COUNT, "version = 1\n -> \n", 0, "version", "expected 1, got None"),
    ("other_version", COUNT, "version = 1 -> version = 2", 1, "version", "expected 1, got 2"),
    ("version_true", COUNT, "version = 1 -> version = true", 1, "version", "got True"),
    ("unknown_root", COUNT, "version = 1 -> version = 1\nrules = 3", 2, "rules", "`version` and `flags`"),
    ("no_flags", "version = 1\n", "", 0, "flags", "at least one table"),
    ("flags_no_table", "version = 1\nflags = 3\n", "", 2, "flags", "at least one table"),
    ("flag_no_table", "version = 1\n[flags]\nx = 3\n", "", 3, "flags.x", "a table"),
    ("name", COUNT, "[flags.x] -> [flags.Bad-Name]", 2, "flags.Bad-Name", "lower-case"),
    ("long_name", COUNT, "[flags.x] -> [flags." + "x" * 33 + "]", 2, "flags.x", "at most 32"),
    ("reserved_name", COUNT, "[flags.x] -> [flags.sensitive_contact]", 2, "flags.sensitive_contact", "free"),
    ("no_shape", COUNT, 'shape = "count" -> severity = "low"', 2, "flags.x.shape", "one of count"),
    ("shape", COUNT, '"count" -> "sum"', 3, "flags.x.shape", "one of count"),
    ("shape_list", COUNT, '"count" -> ["count"]', 3, "flags.x.shape", "one of count"),
    ("misspelt", COUNT, "threshold -> treshold", 5, "flags.x.treshold", "one of the fields of the shape count"),
    ("field_of_other_shape", COUNT, 'window = "7d" -> window = "7d"\nexpire = "1d"', 7, "flags.x.expire", "count"),
    ("threshold_missing", COUNT, "threshold = 2\n -> ", 2, "flags.x.threshold", "integer from 1 to 100, got None"),
    ("threshold_zero", COUNT, "= 2 -> = 0", 5, "flags.x.threshold", "got 0"),
    ("threshold_large", COUNT, "= 2 -> = 101", 5, "flags.x.threshold", "got 101"),
    ("threshold_float", COUNT, "= 2 -> = 2.0", 5, "flags.x.threshold", "got 2.0"),
    ("threshold_bool", COUNT, "= 2 -> = true", 5, "flags.x.threshold", "got True"),
    ("threshold_text", COUNT, '= 2 -> = "2"', 5, "flags.x.threshold", "got '2'"),
    ("window_missing", COUNT, 'window = "7d"\n -> ', 2, "flags.x.window", "a duration"),
    ("window_no_unit", COUNT, '"7d" -> 7', 6, "flags.x.window", "a duration with its unit"),
    ("window_zero", COUNT, '"7d" -> "0d"', 6, "flags.x.window", "got '0d'"),
    ("window_unit", COUNT, '"7d" -> "7y"', 6, "flags.x.window", "got '7y'"),
    ("window_fraction", COUNT, '"7d" -> "0.5ms"', 6, "flags.x.window", "got '0.5ms'"),
    ("window_huge", COUNT, '"7d" -> "99999999999999d"', 6, "flags.x.window", "at most 36500d"),
    ("kinds_missing", COUNT, 'kinds = ["request"]\n -> ', 2, "flags.x.kinds", "a list"),
    ("kinds_text", COUNT, '["request"] -> "request"', 4, "flags.x.kinds", "a list"),
    ("kinds_empty", COUNT, '["request"] -> []', 4, "flags.x.kinds", "a list"),
    ("kind", COUNT, '["request"] -> ["request",\n"ask"]', 5, "flags.x.kinds[1]", "known kinds"),
    ("kind_of_lane", COUNT, '"request" -> "tick"', 4, "flags.x.kinds[0]", "known kinds"),
    ("kind_twice", COUNT, '"request" -> "request", "request"', 4, "flags.x.kinds[1]", "once"),
    ("kinds_and_events", COUNT, 'threshold -> events = [{kinds = ["view"]}]\nthreshold', 5, "flags.x.events", "either"),
    (
        "events_of_events",
        COUNT,
        'kinds = ["request"] -> events = [{kind = ["view"]}]',
        4,
        "flags.x.events[0].kind",
        "`kinds`",
    ),
    ("level", COUNT, 'window -> level = "top"\nwindow', 6, "flags.x.level", '"leaf"'),
    ("level_zero", COUNT, "window -> level = 0\nwindow", 6, "flags.x.level", "from 1 to 16"),
    ("level_true", COUNT, "window -> level = true\nwindow", 6, "flags.x.level", "got True"),
    ("severity", COUNT, "window -> severity = 3\nwindow", 6, "flags.x.severity", "a word"),
    ("severity_long", COUNT, 'window -> severity = "very very bad indeed"\nwindow', 6, "flags.x.severity", "16"),
    ("severity_empty", COUNT, 'window -> severity = ""\nwindow', 6, "flags.x.severity", "a word"),
    ("severity_control", COUNT, 'window -> severity = "a\\u0000"\nwindow', 6, "flags.x.severity", "a word"),
    ("priority", COUNT, "window -> priority = 6\nwindow", 6, "flags.x.priority", "1 to 5"),
    ("priority_bool", COUNT, "window -> priority = true\nwindow", 6, "flags.x.priority", "1 to 5"),
    ("where_text", COUNT, 'window -> where = "x"\nwindow', 6, "flags.x.where", "a table of conditions"),
    ("where_field", COUNT, 'window -> where = { chanel = "app" }\nwindow', 6, "flags.x.where.chanel", "one of"),
    ("where_fact", COUNT, 'window -> where = { "attributes." = 1 }\nwindow', 6, "flags.x.where.attributes.", "one of"),
    ("where_empty", COUNT, "window -> where = { channel = {} }\nwindow", 6, "flags.x.where.channel", "a value"),
    ("where_none", COUNT, "window -> where = { channel = [] }\nwindow", 6, "flags.x.where.channel", "a value"),
    (
        "where_word",
        COUNT,
        "window -> where = { score = { maximum = 2 } }\nwindow",
        6,
        "flags.x.where.score.maximum",
        "max",
    ),
    (
        "where_text_bound",
        COUNT,
        'window -> where = { score = { max = "2" } }\nwindow',
        6,
        "flags.x.where.score.max",
        "number",
    ),
    ("where_nan", COUNT, "window -> where = { score = { min = nan } }\nwindow", 6, "flags.x.where.score.min", "finite"),
    ("where_inf", COUNT, "window -> where = { score = inf }\nwindow", 6, "flags.x.where.score", "finite"),
    (
        "where_never",
        COUNT,
        "window -> where = { score = { min = 3, max = 2 } }\nwindow",
        6,
        "flags.x.where.score.max",
        "`min`",
    ),
    ("where_nested", COUNT, "window -> where = { channel = [[1]] }\nwindow", 6, "flags.x.where.channel", "strings"),
    ("where_date", COUNT, "window -> where = { by = 2020-01-01 }\nwindow", 6, "flags.x.where.by", "strings"),
    ("tiers_and_threshold", TIERS, "tiers = [ -> threshold = 2\ntiers = [", 5, "flags.x.threshold", "either tiers"),
    ("tiers_and_severity", TIERS, 'tiers = [ -> severity = "low"\ntiers = [', 5, "flags.x.severity", "either tiers"),
    ("tiers_empty", COUNT, "threshold = 2\nwindow -> tiers = []\n#", 5, "flags.x.tiers", "a list"),
    ("tier_no_table", COUNT, "threshold = 2\nwindow -> tiers = [3]\n#", 5, "flags.x.tiers", "tables"),
    ("tier_severity", TIERS, 'severity = "low",  -> ', 6, "flags.x.tiers[0].severity", "a word"),
    ("tier_threshold", TIERS, "threshold = 3 -> threshold = 0", 7, "flags.x.tiers[1].threshold", "integer"),
    ("tier_window", TIERS, ', window = "7d" -> ', 7, "flags.x.tiers[1].window", "a duration"),
    ("tier_field", TIERS, 'window = "7d" -> window = "7d", level = 1', 7, "flags.x.tiers[1].level", "`window`"),
    ("reset_no_list", COUNT, "window -> reset = { }\nwindow", 6, "flags.x.reset", "a list"),
    (
        "reset_campaign",
        COUNT,
        'window -> reset = [{ campaign = "any" }]\nwindow',
        6,
        "flags.x.reset[0].campaign",
        "`same`",
    ),
    ("reset_kinds", COUNT, 'window -> reset = [{ campaign = "none" }]\nwindow', 6, "flags.x.reset[0].kinds", "a list"),
    ("reset_field", COUNT, 'window -> reset = [{ kind = "view" }]\nwindow', 6, "flags.x.reset[0].kind", "`campaign`"),
    ("groups_missing", GROUPS, "groups = [ -> severity = [", 2, "flags.x.groups", "at least 2 tables"),
    ("groups_one", GROUPS, '  { kinds = ["complaint"], threshold = 1 },\n -> ', 5, "flags.x.groups", "at least 2"),
    (
        "group_threshold",
        GROUPS,
        '["complaint"], threshold = 1 -> ["complaint"]',
        7,
        "flags.x.groups[1].threshold",
        "integer",
    ),
    ("group_kind", GROUPS, '"complaint" -> "grumble"', 7, "flags.x.groups[1].kinds[0]", "known kinds"),
    (
        "group_window",
        GROUPS,
        '"complaint"], -> "complaint"], window = "1d",',
        7,
        "flags.x.groups[1].window",
        "`threshold`",
    ),
    ("distinct_text", GROUPS, 'window -> distinct_case = "yes"\nwindow', 4, "flags.x.distinct_case", "true or false"),
    (
        "distinct_more",
        GROUPS,
        'window = "7d"\ngroups = [\n  { kinds = ["request"], threshold = 1 }'
        ' -> window = "7d"\ndistinct_case = true\ngroups = [\n  { kinds = ["request"], threshold = 2 }',
        5,
        "flags.x.distinct_case",
        "threshold 1",
    ),
    ("where_not_here", GROUPS, 'window -> where = { channel = "app" }\nwindow', 4, "flags.x.where.channel", "customer"),
    ("first_missing", OVERDUE, 'first = [{ kinds = ["complaint"] }]\n -> ', 2, "flags.x.first", "a list"),
    ("then_empty", OVERDUE, "first -> then_ = 1\nfirst", 4, "flags.x.then_", "overdue"),
    ("then_kind", OVERDUE, '"outreach" -> "call"', 7, "flags.x.then[1].kinds[0]", "known kinds"),
    ("then_where", OVERDUE, "outcome -> result", 7, "flags.x.then[1].where.result", "one of"),
    (
        "then_gate",
        OVERDUE,
        'outcome = "reached" -> segment = "vip"',
        7,
        "flags.x.then[1].where.segment",
        "on the event",
    ),
    ("expire", OVERDUE, 'window = "1d" -> window = "1d"\nexpire = "-1d"', 10, "flags.x.expire", "a duration"),
    ("score", SCORE, '"churn" -> "value"', 4, "flags.x.score", "`churn`"),
    ("score_missing", SCORE, 'score = "churn"\n -> ', 2, "flags.x.score", "`churn`"),
    ("raise_missing", SCORE, "raise = 0.8\n -> ", 2, "flags.x.raise", "a finite number"),
    ("raise_text", SCORE, '0.8 -> "0.8"', 5, "flags.x.raise", "a finite number"),
    ("raise_nan", SCORE, "0.8 -> nan", 5, "flags.x.raise", "a finite number"),
    ("clear_over", SCORE, "0.7 -> 0.8", 6, "flags.x.clear", "under raise (0.8)"),
    ("clear_under", SCORE, 'clear = 0.7 -> clear = 0.7\ndirection = "below"', 6, "flags.x.clear", "over raise (0.8)"),
    ("direction", SCORE, 'raise -> direction = "up"\nraise', 5, "flags.x.direction", "`above`"),
    ("relative_to", SCORE, 'raise -> relative_to = "all"\nraise', 5, "flags.x.relative_to", "`own`"),
    ("own_silence", SCORE, "raise -> own_silence = 1\nraise", 5, "flags.x.own_silence", "true or false"),
    ("expected_end", SCORE, 'raise -> expected_end = "no"\nraise', 5, "flags.x.expected_end", "true or false"),
    ("hold", SCORE, 'raise -> hold = "long"\nraise', 5, "flags.x.hold", "a duration"),
    ("composite_hold", COMPOSITE, 'hold = "30d"\n -> ', 7, "flags.y.hold", "a duration"),
    ("composite_any", COMPOSITE, 'any = ["x"]\n -> ', 7, "flags.y.any", "a list"),
    ("composite_unknown", COMPOSITE, '["x"] -> ["x",\n"z"]', 10, "flags.y.any[1]", "names of other flags"),
    ("composite_itself", COMPOSITE, '["x"] -> ["y"]', 9, "flags.y.any[0]", "names of other flags"),
    ("composite_twice", COMPOSITE, '["x"] -> ["x", "x"]', 9, "flags.y.any[1]", "once"),
    ("composite_where", COMPOSITE, 'any -> where = { segment = "vip" }\nany', 9, "flags.y.where", "no conditions"),
    (
        "composite_of_score",
        SCORE + '[flags.y]\nshape = "composite"\nany = ["x"]\nhold = "1d"\n',
        "",
        9,
        "flags.y.any[0]",
        "of the shapes count",
    ),
    (
        "composite_of_composite",
        COMPOSITE + '[flags.z]\nshape = "composite"\nany = ["y"]\nhold = "1d"\n',
        "",
        13,
        "flags.z.any[0]",
        "of the shapes count",
    ),
    ("segments", COUNT, "window -> segments = 3\nwindow", 6, "flags.x.segments", "a table per segment"),
    (
        "segment_no_table",
        COUNT,
        "window -> segments = { vip = 3 }\nwindow",
        6,
        "flags.x.segments",
        "a table per segment",
    ),
    ("segment_kinds", SEGMENT, "threshold = 3 -> kinds = ['view']", 8, "flags.x.segments.vip.kinds", "numbers"),
    ("segment_number", SEGMENT, "= 3 -> = 0", 8, "flags.x.segments.vip.threshold", "integer"),
    ("segment_field", SEGMENT, "threshold = 3 -> treshold = 3", 8, "flags.x.segments.vip.treshold", "shape count"),
    ("segment_tiers", SEGMENT, "threshold = 3 -> tiers = []", 5, "flags.x.threshold", "either tiers"),
    ("dotted_keys", 'version = 1\nflags.x.shape = "count"\nflags.x.kind = 1\n', "", 3, "flags.x.kind", "shape count"),
    ("quoted_keys", "version = 1\n[\"flags\" . 'x']\nshape = 'sum'\n", "", 3, "flags.x.shape", "one of"),
    (
        "array_of_tables",
        'version = 1\n[flags.x]\nshape = "count"\nkinds = ["view"]\n[[flags.x.tiers]]\nseverity = "a"\nthreshold = 1\n'
        'window = "1d"\n[[flags.x.tiers]] # two\nseverity = "b"\nthreshold = 0\nwindow = "1d"\n',
        "",
        11,
        "flags.x.tiers[1].threshold",
        "got 0",
    ),
    (
        "word_in_a_comment_and_a_text",
        'version = 1\n# threshold = 0\n[flags.w]\nshape = "count"\nkinds = ["view"]\nthreshold = 2\nwindow = "1d"\n'
        'severity = "threshold = 0"\n[flags.x]\nshape = "count"\nkinds = ["view"]\nwindow = "1d"\nthreshold = 0\n',
        "",
        13,
        "flags.x.threshold",
        "got 0",
    ),
]


def broken(text: str, change: str) -> str:
    if change:
        old, _, new = change.partition(" -> ")
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize(
    ("text", "line", "field", "says"),
    [pytest.param(broken(text, change), *rest, id=name) for name, text, change, *rest in MISTAKES],
)
def test_a_mistake_is_refused_with_file_line_and_field(text: str, line: int, field: str, says: str) -> None:
    with pytest.raises(RulesError) as caught:
        RuleSet.parse(text, "my.toml")
    message = str(caught.value)
    where = f"my.toml:{line}: " if line else "my.toml: "
    assert message.startswith(f"{where}{field}"), message
    assert says in message
    assert message.endswith("; nothing of this file is used")


@pytest.mark.parametrize("text", [COUNT, TIERS, GROUPS, OVERDUE, SCORE, COMPOSITE, SEGMENT])
def test_what_the_mistakes_were_made_in_is_right(text: str) -> None:
    assert RuleSet.parse(text).names()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("version = 1\n[flags.x\n", 2),
        ("version = 1\nversion = 1\n", 2),
        ('version = 1\n\na = "', 3),
        ("version = 1\n[flags.x]\nkinds = [\n", 3),
        ("", 0),
    ],
)
def test_what_is_not_toml_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(RulesError, match=rf"^my\.toml:{line}: expected TOML" if line else r"^my\.toml: version: "):
        RuleSet.parse(text, "my.toml")


def test_more_rules_than_memory_has_room_for_are_refused() -> None:
    flags = "".join(COUNT.removeprefix("version = 1\n").replace("flags.x", f"flags.x{n}") for n in range(65))
    with pytest.raises(RulesError, match="at most 64 flags, got 65"):
        RuleSet.parse("version = 1\n" + flags)


def test_every_entry_of_the_default_file_is_found_on_its_line() -> None:
    lines = DEFAULT_TEXT.splitlines()
    for flag in RuleSet.default().names():
        line = line_of(DEFAULT_TEXT, ("flags", flag, "shape"))
        assert line is not None
        assert lines[line - 1].startswith("shape = ")
        assert lines[line - 2] == f"[flags.{flag}]"
    last = line_of(DEFAULT_TEXT, ("flags", "mixed_dissatisfaction", "groups", 1, "events", 1, "where", "sentiment"))
    assert last is not None
    assert "sentiment" in lines[last - 1]


# Shapes with unusual numbers


def run_of(rules: str, *events: Event, **settings: Any) -> Run:
    run = Run(RuleSet.parse("version = 1\n" + rules), models=FixedModels(), **settings)
    run.feed(sorted(events, key=lambda event: event.ts))
    return run


def told(run: Run) -> list[tuple[str, str, str | None, str, int]]:
    return [(a.op, a.flag, a.category, a.severity, a.at - T0) for a in run.alerts]


def test_a_threshold_of_one_is_up_from_the_first_event() -> None:
    rules = '[flags.x]\nshape = "count"\nkinds = ["request"]\nlevel = "leaf"\nthreshold = 1\nwindow = "1h"\n'
    run = run_of(rules, trace("e1", 0), trace("e2", HOUR), trace("e3", 2 * HOUR + 1), trace("e4", 0, category="*"))
    assert told(run) == [
        ("raise", "x", "a", "medium", 0),
        ("update", "x", "a", "medium", HOUR),
        ("clear", "x", "a", "medium", 2 * HOUR),
        ("raise", "x", "a", "medium", 2 * HOUR + 1),
    ]


def test_tiers_out_of_order_mean_what_their_order_in_the_file_says() -> None:
    rules = (
        '[flags.x]\nshape = "count"\nkinds = ["request"]\nlevel = "none"\ntiers = [\n'
        '{ severity = "many", threshold = 3, window = "10h" }, { severity = "one", threshold = 1, window = "2h" } ]\n'
    )
    events = [trace("e1", 0), trace("e2", HOUR), trace("e3", 2 * HOUR), trace("t", 20 * HOUR, "session")]
    run = run_of(rules, *events)
    # `one` stands last, so it is the worse of the two as long as it holds.
    assert told(run) == [
        ("raise", "x", None, "one", 0),
        ("update", "x", None, "one", HOUR),
        ("update", "x", None, "one", 2 * HOUR),
        ("update", "x", None, "many", 4 * HOUR),
        ("clear", "x", None, "many", 10 * HOUR),
    ]


def test_the_largest_threshold_is_reached_in_order_and_nothing_is_capped() -> None:
    rules = (
        '[flags.x]\nshape = "count"\nkinds = ["promotion"]\nthreshold = 100\nwindow = "1000d"\n'
        'reset = [{ campaign = "same" }]\n'
    )
    events = [trace(f"p{n:03}", n * DAY, "promotion", None, campaign_id=f"m{n}") for n in range(420)]
    run = run_of(rules, *events)
    assert [f["count"] for f in run.flags()] == [400]
    assert run.memory().capped is False


THREE_GROUPS = """
[flags.x]
shape = "groups"
level = 1
window = "10h"
severity = "bad"
groups = [
  { kinds = ["request"], threshold = 2 },
  { kinds = ["complaint"], threshold = 1 },
  { threshold = 1, events = [{ kinds = ["feedback"], where = { score = { max = 2 } } }, { kinds = ["suggestion"] }] },
]
"""


def test_three_groups_hold_only_together() -> None:
    events = [
        trace("e1", 0, "request", "a/x"),
        trace("e2", HOUR, "complaint", "a"),
        trace("e3", 2 * HOUR, "request", "a/y"),
        trace("e4", 3 * HOUR, "feedback", "a", score=3.0),
        trace("e5", 4 * HOUR, "suggestion", "b"),
        trace("e6", 10 * HOUR, "suggestion", "a/z"),
    ]
    run = run_of(THREE_GROUPS, *events)
    (flag,) = run.flags()
    assert (flag["category"], flag["since"] - T0, flag["until"] - T0) == ("a", 10 * HOUR, 10 * HOUR)
    assert (flag["evidence"], flag["severity"]) == (["e1", "e2", "e3", "e6"], "bad")
    assert run_of(THREE_GROUPS, *events[:-1], trace("e6", 10 * HOUR + 1, "suggestion", "a/z")).flags() == []


def test_a_group_counts_a_customer_without_categories_when_level_is_none() -> None:
    rules = THREE_GROUPS.replace("level = 1\n", "")
    events = [trace("e1", 0, "request", "a"), trace("e2", 1, "request", "*"), trace("e3", 2, "complaint", "b")]
    assert [f["category"] for f in run_of(rules, *events, trace("e4", 3, "suggestion", None)).flags()] == [None]


FOLLOWS = """
[flags.x]
shape = "follows"
first = [{ kinds = ["purchase"], where = { value = { min = 100 } } }]
then = [{ kinds = ["request"], where = { nature = ["claim", "fault"] } }]
window = "2h"
expire = "3h"
"""


def test_follows_chooses_both_sides_by_their_own_fields() -> None:
    def up(value: float, nature: str | None, after: int) -> bool:
        first = trace("p", 0, "purchase", "shop", value=value)
        return bool(run_of(FOLLOWS, first, trace("r", after, "request", "shop", nature=nature)).flags())

    assert up(100.0, "claim", 2 * HOUR)
    assert up(100.0, "fault", 1)
    assert not up(99.0, "claim", 1)
    assert not up(100.0, "consult", 1)
    assert not up(100.0, None, 1)
    assert not up(100.0, "claim", 2 * HOUR + 1)


def test_overdue_and_follows_may_stand_behind_a_composite() -> None:
    rules = (
        '[flags.slow]\nshape = "overdue"\nfirst = [{ kinds = ["complaint"] }]\nthen = [{ kinds = ["resolved"] }]\n'
        f'window = "1h"\nexpire = "1h"\n{FOLLOWS}[flags.both]\nshape = "composite"\nany = ["slow", "x"]\nhold = "5h"\n'
    )
    events = [
        trace("c", 0, "complaint"),
        trace("p", 90 * 60_000, "purchase", "shop", value=500.0),
        trace("r", 3 * HOUR, "request", "shop", nature="fault"),
        trace("t", 20 * HOUR, "session"),
    ]
    run = run_of(rules, *events)
    assert [(a.op, (a.at - T0) / HOUR, a.evidence) for a in run.alerts if a.flag == "both"] == [
        # The case is overdue an hour after the complaint; five hours after the newest raise it ends.
        ("raise", 1, ["c"]),
        ("update", 3, ["p", "r"]),
        ("clear", 8, ["p", "r"]),
    ]


def test_an_answer_in_time_takes_back_a_raise_and_the_composite_over_it() -> None:
    rules = (
        '[flags.slow]\nshape = "overdue"\nfirst = [{ kinds = ["complaint"] }]\nthen = [{ kinds = ["resolved"] }]\n'
        'window = "1h"\n[flags.both]\nshape = "composite"\nany = ["slow"]\nhold = "5h"\n'
    )
    late = [trace("t", 90 * 60_000, "session"), trace("x", 50 * 60_000, "resolved")]
    run = Run(RuleSet.parse("version = 1\n" + rules), models=FixedModels())
    run.feed([trace("c", 0, "complaint"), *late])
    assert run.flags() == []
    assert [(a.op, a.flag) for a in run.alerts] == [
        ("raise", "both"),
        ("raise", "slow"),
        ("clear", "both"),
        ("clear", "slow"),
    ]


@pytest.mark.parametrize(("level", "keys"), [(1, ["a"]), (2, ["a/x"]), (3, []), ('"leaf"', []), ('"none"', [None])])
def test_level_decides_what_is_the_same_service(level: object, keys: list[str | None]) -> None:
    rules = f'[flags.x]\nshape = "count"\nkinds = ["view"]\nlevel = {level}\nthreshold = 2\nwindow = "1d"\n'
    run = run_of(rules, trace("e1", 0, "view", "a/x/1"), trace("e2", 1, "view", "a/x/2"))
    assert [f["category"] for f in run.flags()] == keys


# where, gates, segments


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        ('{ channel = "app" }', {"app"}),
        ('{ channel = ["app", "web"] }', {"app", "web"}),
        ('{ channel = { not = "app" } }', {"web", "phone"}),
        ('{ channel = { not = ["app", "web"] } }', {"phone"}),
        ("{ wait_s = { min = 60 } }", {"web", "phone"}),
        ("{ wait_s = { max = 60 } }", {"app", "web"}),
        ("{ wait_s = { min = 30, max = 60 } }", {"web"}),
        ('{ wait_s = { min = 30 }, channel = "phone" }', {"phone"}),
        ("{ wait_s = 60 }", {"web"}),
        ("{ wait_s = { not = 60 } }", {"app", "phone"}),
        ('{ nature = { not = "claim" } }', set()),
        ("{ nature = { min = 1 } }", set()),
    ],
)
def test_where_chooses_the_events_that_count(where: str, counts: set[str]) -> None:
    rules = f'[flags.x]\nshape = "count"\nkinds = ["request"]\nthreshold = 1\nwindow = "1d"\nwhere = {where}\n'
    waits = {"app": 10.0, "web": 60.0, "phone": 61.0}
    up = {
        channel for channel, wait in waits.items() if run_of(rules, trace("e", 0, channel=channel, wait_s=wait)).flags()
    }
    assert up == counts


GATED = '[flags.x]\nshape = "count"\nkinds = ["request"]\nthreshold = 2\nwindow = "1d"\nwhere = {where}\n'


@pytest.mark.parametrize(
    ("where", "facts", "is_up"),
    [
        ('{ segment = "vip" }', {"segment": "vip"}, True),
        ('{ segment = "vip" }', {"segment": "mass"}, False),
        ('{ segment = "vip" }', {}, False),
        ('{ segment = "1" }', {"segment": True}, False),
        ('{ "attributes.role" = ["student", "guest"] }', {"role": "guest"}, True),
        ('{ attributes.role = ["student", "guest"] }', {"role": "guest"}, True),
        ('{ attributes.role = ["student", "guest"] }', {"role": "staff"}, False),
        ("{ attributes.level = { min = 3 } }", {"level": 3.0}, True),
        ("{ attributes.level = { min = 3 } }", {"level": 2.0}, False),
        ("{ attributes.level = { min = 3 } }", {"level": "4"}, False),
        ("{ attributes.paid = true }", {"paid": True}, True),
        ("{ attributes.paid = true }", {"paid": False}, False),
        ('{ stage = "lapsed" }', {}, False),
    ],
)
def test_a_gate_asks_the_customer_at_the_event(where: str, facts: dict[str, Any], is_up: bool) -> None:
    profile = trace("p", 0, "profile", None, attributes=facts)
    run = run_of(GATED.format(where=where), profile, trace("e1", 1), trace("e2", 2))
    assert bool(run.flags()) is is_up


def test_a_gate_never_clears_and_never_counts_less() -> None:
    rules = GATED.format(where='{ segment = "vip" }')
    vip, mass = ({"segment": name} for name in ("vip", "mass"))
    run = run_of(
        rules,
        trace("e1", 0),
        trace("p1", 1, "profile", None, attributes=vip),
        # e1 came before the customer was a vip and counts all the same.
        trace("e2", 2),
        trace("p2", 3, "profile", None, attributes=mass),
        trace("e3", HOUR),
    )
    (flag,) = run.flags()
    assert (flag["since"] - T0, flag["until"] - T0, flag["count"]) == (2, DAY + 2, 3)
    # Once it has ended, nothing raises it again.
    run.feed([trace("e4", 2 * DAY), trace("e5", 2 * DAY + 1)])
    assert run.flags() == []


SEGMENTED = """
[flags.x]
shape = "count"
kinds = ["request"]
threshold = 3
window = "1d"
[flags.x.segments.vip]
threshold = 1
severity = "high"
[flags.x.segments.mass]
tiers = []
"""


def test_a_segment_has_numbers_of_its_own() -> None:
    rules = SEGMENTED.replace("[flags.x.segments.mass]\ntiers = []\n", '[flags.x.segments.mass]\nwindow = "1h"\n')
    rule_set = RuleSet.parse("version = 1\n" + rules)
    assert sorted(rule_set.by_segment) == ["mass", "vip"]
    for segment, n, last, up in [
        ("vip", 1, 0, [("high", 1)]),
        ("mass", 3, 2 * HOUR, []),
        ("mass", 3, HOUR, [("medium", 3)]),
        ("other", 3, 2 * HOUR, [("medium", 3)]),
        ("other", 2, 2 * HOUR, []),
    ]:
        run = Run(rule_set, models=FixedModels())
        run.feed([trace("p", 0, "profile", None, attributes={"segment": segment})])
        run.feed([trace(f"e{i}", last * i // max(n - 1, 1)) for i in range(n)])
        assert [(f["severity"], f["count"]) for f in run.flags()] == up, (segment, n)


def test_a_change_of_segment_works_the_flags_out_again() -> None:
    run = run_of(SEGMENTED.partition("[flags.x.segments.mass]")[0], trace("e1", 0))
    assert run.flags() == []
    run.feed([trace("p1", 1, "profile", None, attributes={"segment": "vip"})])
    assert [(f["severity"], f["since"] - T0) for f in run.flags()] == [("high", 0)]
    run.feed([trace("p2", 2, "profile", None, attributes={"segment": "none of them"})])
    assert run.flags() == []
    assert [(a.op, a.at - T0) for a in run.alerts] == [("raise", 1), ("clear", 2)]
