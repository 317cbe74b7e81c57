"""desk.toml: validated whole or refused whole."""

from __future__ import annotations

import pytest

from engine.desk import Desk
from engine.errors import ConfigurationError, RulesError

HEAD = "version = 1\n"


def test_the_built_in_desk_is_valid_and_has_guidance_in_both_languages() -> None:
    desk = Desk.default()
    assert {each.flag for each in desk.guidance} >= {"sensitive_contact", "sensitive", "repeat_request", "churn_risk"}
    assert all(set(each.say) == {"en", "zh"} for each in desk.guidance)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("version = 2\n", "1: version: expected 1, got 2"),
        (HEAD + "[route]\n", "2: route: expected only"),
        (HEAD + "[queues]\nphone = 3\n", "3: queues.phone: expected a text"),
        (HEAD + '[queues]\nphone = ""\n', "3: queues.phone: expected a text"),
        (HEAD + "[caps]\nteam = { n = 0 }\n", "3: caps.team.n: expected an integer from 1"),
        (HEAD + '[caps]\nteam = { n = 5, window = "soon" }\n', "3: caps.team.window: expected a duration"),
        (HEAD + "[caps]\ncustomer = { n = 101 }\n", "3: caps.customer.n: expected an integer from 1 to 100"),
        (HEAD + "[caps]\nagent = { n = 1 }\n", "3: caps.agent: expected `customer` and `team`"),
        (HEAD + "[priority]\nseverity = { high = 9 }\n", "3: priority.severity.high: expected an integer from -4"),
        (HEAD + '[priority]\ntiers = [{ name = "x" }]\n', "3: priority.tiers[0].attribute: expected a text"),
        (
            HEAD + '[priority]\ntiers = [{ name = "x", min_value = 1.0, attribute = "a" }]\n',
            "3: priority.tiers[0].attribute: expected either min_value",
        ),
        (HEAD + '[[guidance]]\nid = "a"\n', "2: guidance[0].say: expected a text to say"),
        (HEAD + '[[guidance]]\nid = "a"\nsay.fr = "non"\n', "4: guidance[0].say.fr: expected `en` and `zh`"),
        (
            HEAD + '[[guidance]]\nid = "a"\nsay.en = "x"\n[[guidance]]\nid = "a"\nsay.en = "y"\n',
            "guidance[1].id: expected an id that no other entry has",
        ),
        (HEAD + "[incident]\nmax_chance = 0.5\n", "3: incident.max_chance: expected a number over 0"),
        ("version = ", "desk.toml:1: expected TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, where: str) -> None:
    with pytest.raises(RulesError) as caught:
        Desk.parse(text, "desk.toml")
    assert where in str(caught.value)
    assert "nothing of this file is used" in str(caught.value)


def test_a_route_is_whoever_is_named_else_the_longest_category() -> None:
    desk = Desk.parse(
        HEAD + '[queues]\nphone = "team:front"\n[categories]\nnetwork = "team:net"\n"network/wifi" = "team:wifi"\n'
    )
    assert desk.route("agent:a", "network") == "agent:a"
    assert desk.route("queue:phone", "network") == "team:front"
    assert desk.route("queue:app", "network") == "queue:app"
    assert desk.route("", "network/wifi/dorm") == "team:wifi"
    assert desk.route("", "network/cable") == "team:net"
    assert desk.route("", "networks") == desk.route("", None) == ""
    assert desk.owner("category", "network/wifi") == "team:wifi"
    assert desk.owner("channel", "phone") == "team:front"


def test_the_most_specific_guidance_counts_flag_then_category_then_segment() -> None:
    entries = [("any", "", "", ""), ("seg", "", "", "vip"), ("cat", "", "a/b", ""), ("flag", "f", "", "")]
    entries += [("both", "f", "a", ""), ("all", "f", "a", "vip")]
    text = HEAD + "".join(
        f'[[guidance]]\nid = "{key}"\nsay.en = "x"\n'
        + "".join(f'{name} = "{v}"\n' for name, v in (("flag", f), ("category", c), ("segment", s)) if v)
        for key, f, c, s in entries
    )
    desk = Desk.parse(text)
    assert desk.guide("g", None, None) == "any"
    assert desk.guide("g", None, "vip") == "seg"
    assert desk.guide("g", "a/b/c", "vip") == "cat"
    assert desk.guide("f", "b", "vip") == "flag"
    assert desk.guide("f", "a/x", None) == "both"
    assert desk.guide("f", "a", "vip") == "all"


def test_a_team_cap_that_some_lane_would_have_no_share_of_is_refused() -> None:
    desk = Desk.parse(HEAD + '[caps]\nteam = { n = 7, window = "1min" }\n')
    with pytest.raises(ConfigurationError, match=r"caps.team.n: expected at least the number of lanes \(8\)"):
        desk.check_lanes(8)
    assert sum(desk.share(lane, 5) for lane in range(5)) == 7


def test_the_first_tier_that_fits_counts() -> None:
    desk = Desk.parse(
        HEAD
        + '[priority]\ntiers = [{ name = "gold", attribute = "tier", equals = "gold", step = -2 }, '
        + '{ name = "large", min_value = 100.0 }]\n'
    )
    gold, large = desk.tier(500.0, {"tier": "gold"}), desk.tier(100.0, {})
    assert gold is not None
    assert large is not None
    assert (gold.name, large.name, desk.tier(99.9, {"tier": "tin"})) == ("gold", "large", None)
