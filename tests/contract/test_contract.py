"""Our own client passes what every client of the board has to pass, and the fixtures are what the engine writes now."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from streams.client import AsyncRiskBoard, Folded, FoldStep, RiskBoard, connect_async
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from tests.contract.make import FOLDER, load, made, plain, value

FILES = ("board.json", "answers.json", "folding.json")
BOARD, ANSWERS, FOLDING = (orjson.loads((FOLDER / name).read_bytes()) for name in FILES)
KEYS: dict[str, Any] = BOARD["keys"]


def cases(name: str) -> list[Any]:
    return [
        pytest.param(each["with"], each["answer"], id=str(n)) for n, each in enumerate(ANSWERS) if each["ask"] == name
    ]


@pytest.fixture
def board(redis_client: RedisClient) -> RiskBoard:
    load(redis_client, KEYS)
    return RiskBoard(redis_client)


def test_the_fixtures_are_what_the_engine_writes_now(redis_client: RedisClient) -> None:
    fresh = orjson.loads(orjson.dumps(made(redis_client)))
    for name, known in zip(FILES, (BOARD, ANSWERS, FOLDING), strict=True):
        assert fresh[name] == known, (
            f"tests/contract/{name}: run `python -m tests.contract.make` and look at the difference"
        )


def test_the_client_answers_every_question(board: RiskBoard) -> None:
    for each in ANSWERS:
        assert orjson.loads(orjson.dumps(value(board, each["ask"], each["with"]))) == each["answer"], each["ask"]


def test_the_async_client_answers_every_question(redis_server: EmbeddedRedis, board: RiskBoard) -> None:
    async def ask_all() -> list[Any]:
        client = connect_async(redis_server.url)
        try:
            reader = AsyncRiskBoard(client)
            return [plain(await getattr(reader, each["ask"])(**each["with"])) for each in ANSWERS]
        finally:
            await client.aclose()

    answers = orjson.loads(orjson.dumps(asyncio.run(ask_all())))
    assert answers == [each["answer"] for each in ANSWERS]


def test_both_clients_have_the_same_questions() -> None:
    both = [{name for name in vars(kind) if not name.startswith("_")} for kind in (RiskBoard, AsyncRiskBoard)]
    assert both[0] == both[1]
    assert {each["ask"] for each in ANSWERS} == both[0] - {"news", "last_facts", "snapshot", "fold", "models"}


@pytest.mark.parametrize("each", FOLDING, ids=lambda each: each["case"].replace(" ", "-"))
def test_the_client_folds_every_case(redis_client: RedisClient, each: dict[str, Any]) -> None:
    load(redis_client, {"risk:alerts": {"type": "stream", "value": each["stream"]}})
    flags = {alert_id: list(flag.values()) for alert_id, flag in each["state"]["flags"].items()}
    step = RiskBoard(redis_client).fold(Folded.load(orjson.dumps({**each["state"], "flags": flags})))
    check(step, each)


def check(step: FoldStep, each: dict[str, Any]) -> None:
    assert step.anew is each["anew"]
    if not step.anew:
        assert plain(step.state.flags) == each["flags"]


@pytest.mark.parametrize(("given", "answer"), cases("queue"))
def test_the_order_of_the_queue_is_that_of_the_document(given: dict[str, Any], answer: dict[str, Any]) -> None:
    """Worked out anew from the keys, word by word as docs/desk.md has it."""
    marks = KEYS["risk:meta"]["value"]

    def place(alert_id: str) -> tuple[int, int, int, str]:
        alert = KEYS[f"risk:alert:{alert_id}"]["value"]
        snoozed = "snoozed_until" in alert and int(marks[f"watermark:{alert['lane']}"]) <= int(alert["snoozed_until"])
        acked = "acked_by" in alert
        waited = 0 if snoozed or acked else max(0, given["now_ms"] - int(alert["since"]))
        part = 0 if alert["flag"] == "service_incident" else 3 if snoozed else 2 if acked else 1
        priority = int(alert["priority"])
        # Waiting lifts to 2; what has priority 1 is so by itself.
        lifted = 1 if priority == 1 else max(2, priority - waited // int(marks["waiting_ms"]))
        return part, lifted, int(alert["since"]), alert_id

    members = [member for member, _ in KEYS[f"risk:queue:{given['name']}"]["value"]]
    for name in ("flag", "route"):
        members = [m for m in members if given.get(name) in (None, KEYS[f"risk:alert:{m}"]["value"][name])]
    shown = [(row["alert"]["alert_id"], row["lifted"]) for row in answer["rows"]]
    assert shown == [(each, place(each)[1]) for each in sorted(members, key=place)][: given.get("limit", 100)]
    assert answer["total"] == len(members)


@pytest.mark.parametrize(("given", "answer"), cases("flags"))
def test_a_flag_is_up_while_the_watermark_is_not_past_its_end(given: dict[str, Any], answer: list[Any] | None) -> None:
    if answer is None:
        assert given == {"customer_id": "nobody"}
        return
    for flag in answer:
        since, until, count, severity, alert_id = (flag[n] for n in ("since", "until", "count", "severity", "alert_id"))
        (written,) = {
            text
            for each in KEYS.values()
            if each["type"] == "hash"
            for text in each["value"].values()
            if alert_id in text
        }
        assert orjson.loads(written) == [since, until, count, severity, alert_id]
        assert flag["up"] is True, "what the engine has on the board is up"


def test_the_fixtures_show_what_is_hard() -> None:
    assert {row["standing"] for each in ANSWERS if each["ask"] == "queue" for row in each["answer"]["rows"]} == {
        "waiting", "acked", "snoozed",
    }  # fmt: skip
    held = {fields["held"].partition(":")[0] for _, fields in KEYS["risk:alerts"]["value"]}
    assert held == {"", "inhibited", "cap"}
    assert {fields["fact"] for _, fields in KEYS["risk:facts"]["value"]} == {"ack", "snooze", "outcome"}
    assert {fields["state"] for _, fields in KEYS["risk:facts"]["value"]} == {"up", "down"}
    assert any("closed_at" in each["value"] for key, each in KEYS.items() if key.startswith("risk:alert:"))
    assert any("%" in key for key in KEYS)
    assert {each["anew"] for each in FOLDING} == {True, False}
