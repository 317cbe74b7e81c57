"""`henji models`: what it says of a board equals what a replay says of its log; orders go through the log."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest

from engine.errors import CorruptState
from engine.rules import RuleSet
from engine.scoring import LaneModels
from streams.cli import main
from streams.cli.model_texts import _TEXTS
from streams.model_file import read_model_file
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import Keys
from streams.settings import load_settings

DAY = 86_400_000
HOUR = 3_600_000
T0 = 1_700_000_000_000
DAYS = 40
PREFIX = "replay:mine:"
OPTIONS = ["--lanes", "3", "--set", "churn.horizon=5d", "--set", "learning.challengers=plain"]
ALL = [
    *("churn_event", "churn_event:dense-logistic-1", "churn_silence", "churn_silence:dense-logistic-1"),
    *("engagement_event", "engagement_silence", "contact_event", "contact_silence"),
]


def line(event_id: str, ts: int, **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, "ts": ts, **fields}


def events(first: int = 0, last: int = DAYS) -> list[dict[str, Any]]:
    """Customers of several habits; some leave at half-time."""
    made = [
        line(f"{who}-{day}-{kind}", T0 + day * DAY + who * HOUR, customer_id=f"c{who}", kind=kind, category="billing")
        for day in range(first, last)
        for who in range(24)
        if day % (1 + who % 5) == 0 and (who % 3 or day < DAYS // 2)
        for kind in ("view", "request")[: 1 + (day + who) % 2]
    ]
    for who in range(24):
        if first == 0:
            segment = {"segment": "staff" if who % 2 else "student"}
            made.append(line(f"p{who}", T0 + who * HOUR, customer_id=f"c{who}", kind="profile", attributes=segment))
    return sorted(made, key=lambda each: each["ts"])


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("log") / "log.jsonl", events())


@pytest.fixture
def url(log: Path, redis_server: EmbeddedRedis, redis_client: RedisClient, capsys: pytest.CaptureFixture[str]) -> str:
    """A Redis with the board of the log."""
    assert main(["replay", str(log), "--redis", redis_server.url, "--run", "mine", "--digest", *OPTIONS]) == 0
    capsys.readouterr()
    return redis_server.url


# -- list ----------------------------------------------------------------------------------------------------------


def test_the_list_adds_lanes_up_as_a_replay_does(url: str, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = told(capsys, "models", "list", "--redis", url)
    assert listed["lanes"] == [0, 1, 2]
    assert listed["champions"] == {"blend": [0, 1, 2]}
    assert [model["name"] for model in listed["models"]] == ALL
    replayed = told(capsys, "replay", str(log), *OPTIONS)["models"]
    for model in listed["models"]:
        if ":" in model["name"]:
            continue
        expected = replayed[model["name"]]
        for field in ("taken", "learned", "pending", "erased"):
            assert model[field] == expected[field], (model["name"], field)
        figures = {name: round(value, 6) for name, value in model["all"].items()}
        assert figures == {name: value for name, value in expected.items() if name in figures}
        assert figures["n"] == expected["learned"] > 50


def test_a_challenger_is_compared_on_the_labels_of_all_lanes(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    models = {model["name"]: model for model in told(capsys, "models", "list", "--redis", url)["models"]}
    champion, challenger = models["churn_event"], models["churn_event:dense-logistic-1"]
    assert champion["champion"] is True
    assert champion["difference"] is None
    difference = challenger["difference"]
    assert difference["n"] == champion["learned"] == challenger["all"]["n"]
    apart = champion["all"]["log_loss"] - challenger["all"]["log_loss"]
    assert difference["mean"] == pytest.approx(apart, abs=1e-6)
    assert difference["se"] > 0
    level = abs(difference["mean"]) <= 2 * difference["se"]
    assert difference["verdict"] == ("level" if level else "better" if apart > 0 else "worse")


@pytest.mark.parametrize(
    ("lang", "word"), [("en", "cannot be told apart|is worse than|is better than"), ("zh", "无法区分|不如|优于")]
)
def test_the_list_says_in_words_how_a_challenger_does(
    url: str, capsys: pytest.CaptureFixture[str], lang: str, word: str
) -> None:
    assert main(["models", "list", "--redis", url, "--lang", lang]) == 0
    out = capsys.readouterr().out
    assert any(each in out for each in word.split("|"))
    assert "* churn_event" in out
    assert "dense-logistic-1" in out


def test_lanes_that_disagree_are_shown(
    log: Path,
    tmp_path: Path,
    redis_server: EmbeddedRedis,
    redis_client: RedisClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    orders = tmp_path / "orders.jsonl"
    assert main(["models", "promote", "plain", "--out", str(orders), *_settings()]) == 0
    first = orders.read_text().splitlines()[0]
    whole = write(tmp_path / "whole.jsonl", [*events(), json.loads(first)])
    url = redis_server.url
    assert main(["replay", str(whole), "--redis", url, "--run", "mine", "--digest", *OPTIONS]) == 0
    assert told(capsys, "models", "list", "--redis", url)["champions"] == {"blend": [1, 2], "plain": [0]}
    assert main(["models", "list", "--redis", url, "--lang", "en"]) == 0
    assert "lanes disagree on the champion: blend in 1 2, plain in 0" in capsys.readouterr().out


def test_a_board_without_labels_says_so(
    tmp_path: Path, redis_server: EmbeddedRedis, redis_client: RedisClient, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = write(tmp_path / "log.jsonl", [line("e", T0, customer_id="c", kind="profile", attributes={"a": "b"})])
    assert main(["replay", str(empty), "--redis", redis_server.url, "--run", "mine", "--digest"]) == 0
    assert main(["models", "list", "--redis", redis_server.url, "--lang", "en"]) == 0
    assert "no model has learned anything yet" in capsys.readouterr().out


def _settings() -> list[str]:
    return ["--set", "lanes=3", "--set", "learning.challengers=plain"]


# -- show ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ALL, "churn_event:plain", "churn_event:blend2"])
def test_parts_of_a_model_add_up_to_the_whole(url: str, capsys: pytest.CaptureFixture[str], name: str) -> None:
    shown = told(capsys, "models", "show", name, "--redis", url)
    n = shown["all"]["n"]
    assert n > 50
    assert sum(block["n"] for block in shown["blocks"]) == n
    assert sum(segment["n"] for segment in shown["segments"]) == n
    if not shown["champion"]:
        assert [segment["segment"] for segment in shown["segments"]] == ["-"]
    elif shown["score"] == "churn":
        assert {"staff", "student"} <= {segment["segment"] for segment in shown["segments"]}
    if shown["score"] == "engagement":
        assert shown["reliability"] is None
    else:
        assert len(shown["reliability"]) == 10
        assert sum(row[0] for row in shown["reliability"] if row) == n
    starts = [block["from"] for block in shown["blocks"]]
    assert starts == sorted(starts)
    assert all(start % (30 * DAY) == 0 for start in starts)
    assert main(["models", "show", name, "--redis", url, "--lang", "en"]) == 0
    assert ("predicted and came true" in capsys.readouterr().out) == (shown["score"] != "engagement")


def test_a_name_that_is_none_is_told_with_those_there_are(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "churn", "--redis", url]) == 2
    assert "expected one of churn_event:blend, churn_event:plain, churn_silence" in capsys.readouterr().err


# -- promote, roll back --------------------------------------------------------------------------------------------


def test_orders_are_one_event_for_every_lane(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "orders.jsonl"
    facts = told(capsys, "models", "promote", "dense-logistic-1", "--redis", url, "--out", str(out), "--request", "r1")
    assert facts == {"champion": "plain", "lanes": 3, "request": "r1", "out": str(out)}
    orders = [json.loads(each) for each in out.read_text().splitlines()]
    assert [(o["event_id"], o["lane"], o["lanes"], o["body"]) for o in orders] == [
        (f"model:r1:{lane}", lane, 3, {"champion": "plain"}) for lane in range(3)
    ]
    # Without a Redis the settings say what there is.
    again = tmp_path / "again.jsonl"
    assert main(["models", "promote", "plain", "--out", str(again), "--request", "r1", *_settings()]) == 0
    ids = [json.loads(each)["event_id"] for each in again.read_text().splitlines()]
    assert ids == [o["event_id"] for o in orders]


def test_a_replay_obeys_orders_that_stand_in_its_log(
    tmp_path: Path, redis_server: EmbeddedRedis, redis_client: RedisClient, capsys: pytest.CaptureFixture[str]
) -> None:
    def orders(name: str, *command: str) -> list[dict[str, Any]]:
        out = tmp_path / name
        assert main(["models", *command, "--out", str(out), *_settings()]) == 0
        return [json.loads(each) for each in out.read_text().splitlines()]

    promote, back = orders("a", "promote", "plain"), orders("b", "rollback")
    made: dict[str, list[str]] = {}
    digests = set()
    for name, log in (
        ("blend", events()),
        ("mixed", [*events(0, 15), *promote, *events(15, 30), *back, *events(30)]),
        ("promoted", [*events(0, 15), *promote, *events(15)]),
    ):
        file, predictions = write(tmp_path / f"{name}.jsonl", log), tmp_path / f"{name}.predictions"
        run = ["--redis", redis_server.url, "--run", name, "--predictions", str(predictions)]
        facts = told(capsys, "replay", str(file), *OPTIONS, *run)
        assert facts["late"] == facts["dead"] == 0
        digests.add(facts["digest"])
        made[name] = [json.loads(each)["model"] for each in predictions.read_text().splitlines()]
        assert main(["verify", "--redis", redis_server.url]) == 0
    assert len(digests) == 3
    assert set(made["blend"]) == {"blend2"}
    assert made["mixed"][0] == made["mixed"][-1] == "blend2"
    assert "dense-logistic-1" in made["mixed"]
    assert made["promoted"][-1] == "dense-logistic-1"
    listed = told(capsys, "models", "list", "--redis", redis_server.url, "--prefix", "replay:promoted:")
    assert listed["champions"] == {"plain": [0, 1, 2]}
    names = [model["name"] for model in listed["models"]]
    assert names[:2] == ["churn_event:blend2", "churn_event"]
    # The row that the champion had as a challenger is gone.
    rows = {key.decode() for key in redis_client.scan_iter(match="replay:promoted:model:churn_event*")}
    assert rows == {"replay:promoted:model:churn_event", "replay:promoted:model:churn_event:blend2"}


# -- export --------------------------------------------------------------------------------------------------------


def test_an_exported_file_holds_the_models_of_all_lanes(
    url: str, log: Path, tmp_path: Path, redis_client: RedisClient, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "models"
    facts = told(capsys, "models", "export", "--redis", url, "--out", str(out))
    assert (facts["lanes"], facts["bytes"]) == ([0, 1, 2], out.stat().st_size)
    found = read_model_file(out)
    result = load_settings(None, {}, [("churn.horizon", "5d", ""), ("learning.challengers", "plain", "")])
    settings = result.result(RuleSet.default())
    for lane in range(3):
        stored = redis_client.execute_command("HGETALL", Keys(PREFIX).lane_models(lane))
        mine, its = (LaneModels(settings.windows, challengers=settings.challengers) for _ in range(2))
        mine.restore({name.decode(): data for name, data in stored.items()})
        its.restore(found.parts[lane])
        assert its.digest() == mine.digest()
        assert its.balance()["event"]["taken"] > 0
    assert main(["models", "export", "--redis", url, "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again").read_bytes() == out.read_bytes()
    damaged = tmp_path / "damaged"
    damaged.write_bytes(out.read_bytes()[:-1])
    with pytest.raises(CorruptState, match="henji models export"):
        read_model_file(damaged)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["promote", "forest", "--redis", "URL", "--out", "OUT"], "NAME: expected one of blend, plain, got 'forest'"),
        (["promote", "forest", "--out", "OUT"], "NAME: expected one of blend, got 'forest'"),
        (["promote", "plain"], "--redis: expected the URL"),
        (["rollback"], "--redis: expected the URL"),
        (["rollback", "--out", "OUT", "--request", "a b"], "--request: expected 1 to 64 characters"),
        (["rollback", "--out", "MISSING"], "--out: expected a file that can be written"),
        (["promote"], "Missing argument"),
        (["export", "--redis", "URL", "--out", "MISSING"], "--out: expected a file that can be written"),
        (["export", "--out", "OUT"], "--redis: expected the URL"),
        (["export", "--redis", "URL"], "Missing option"),
        (["list"], "--redis: expected the URL"),
        (["show", "churn_event"], "--redis: expected the URL"),
        (["list", "--redis", "URL", "--prefix", "replay:other:"], "expected a board under replay:other:"),
    ],
)
def test_wrong_use_is_told_and_exits_with_2(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    words = {"URL": url, "OUT": str(tmp_path / "out"), "MISSING": str(tmp_path / "no" / "out")}
    assert main(["models", *(words.get(each, each) for each in arguments)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_text_has_the_same_facts_in_every_language() -> None:

    for name, forms in _TEXTS.items():
        facts = [sorted(field for _, field, _, _ in string.Formatter().parse(form) if field) for form in forms]
        assert facts[0] == facts[1], name
