"""`henji webhooks` as a user meets it, and a process that is killed in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from streams.cli import main
from streams.redis.embedded import EmbeddedRedis
from streams.webhooks.spool import Spool
from tests.streams.webhooks.stage import SECRET, T0, Receiver, endpoint, fields, intake, message

DEADLINE_S = 60.0


def write(folder: Path, url: str, more: str = "") -> Path:
    path = folder / "webhooks.toml"
    path.write_text(
        f'version = 1\n[[endpoint]]\nname = "crm"\nurl = "{url}"\nsecrets = [{{ file = "crm.secret" }}]\n'
        f"allow_private = true\nallow_insecure = true\n{more}"
    )
    (folder / "crm.secret").write_text(SECRET)
    return path


def test_a_right_file_passes_and_a_wrong_one_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "http://127.0.0.1:1/hook")
    assert main(["webhooks", "check", str(path)]) == 0
    assert capsys.readouterr().out == "crm: http://127.0.0.1:1/hook, 1 secrets\n"
    assert main(["webhooks", "check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["endpoints"][0]["name"] == "crm"
    path.write_text(path.read_text() + "colour = 3\n")
    assert main(["webhooks", "check", str(path)]) == 2
    assert f"{path}:8: endpoint[0].colour: expected only" in capsys.readouterr().err
    assert main(["webhooks", "run", "--endpoints", str(path), "--spool", str(tmp_path / "s")]) == 2
    assert "redis.url" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_ping_is_sent_and_its_answer_is_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> None:
        receiver = Receiver()
        await receiver.start()
        path = write(tmp_path, receiver.url)
        ask = ["webhooks", "test", "crm", "--endpoints", str(path)]
        assert await asyncio.to_thread(main, ask) == 0
        assert capsys.readouterr().out.startswith("crm: 204 in ")
        headers, body = receiver.requests[0]
        assert headers["webhook-id"].startswith("ping:")
        assert json.loads(body)["type"] == "henji.ping"
        receiver.status = 401
        assert await asyncio.to_thread(main, ask) == 1
        assert "expected an answer 2xx of http://127.0.0.1:" in capsys.readouterr().err
        assert await asyncio.to_thread(main, [*ask, "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["delivered"] is False
        assert await asyncio.to_thread(main, ["webhooks", "test", "erp", "--endpoints", str(path)]) == 2
        await receiver.stop()

    asyncio.run(play())


def test_the_spool_is_shown_and_the_dead_are_sent_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = tmp_path / "spool.sqlite"
    where = ["--spool", str(spool)]
    assert main(["webhooks", "status", *where]) == 2
    assert "got no file" in capsys.readouterr().err
    with Spool(spool, create=True) as made:
        made.begin("risk:alerts", "5-0")
        made.introduce("crm", "http://crm.example 00")
        made.take_in(intake(message("a", 1), message("b", 2)), (endpoint("http://crm.example"),), T0)
        with made.changing("kill") as db:
            db.execute("UPDATE message SET dead_at = ?, attempts = 3, why = '404: no [bold]' WHERE number = 2", (T0,))
    assert main(["webhooks", "status", *where, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["stream"], found["position"], found["counts"]["read"]) == ("risk:alerts", "2-0", 2)
    assert [(each["name"], each["waiting"], each["dead"], each["state"]) for each in found["endpoints"]] == [
        ("crm", 1, 1, "ok")
    ]
    for lang, word in (("en", "waiting"), ("zh", "等待")):
        assert main(["webhooks", "status", *where, "--lang", lang]) == 0
        assert word in capsys.readouterr().out
        assert main(["webhooks", "dead", *where, "--lang", lang]) == 0
        assert "404: no [bold]" in capsys.readouterr().out
    assert main(["webhooks", "dead", *where, "--json", "--endpoint", "crm"]) == 0
    assert json.loads(capsys.readouterr().out)["key"] == message("b", 2).key
    assert main(["webhooks", "resend", *where]) == 2
    assert main(["webhooks", "resend", "9", *where]) == 2
    assert "got 9" in capsys.readouterr().err
    assert main(["webhooks", "resend", "2", *where]) == 0
    assert main(["webhooks", "resend", "--all", *where]) == 0
    assert capsys.readouterr().out == "1 messages wait again\n0 messages wait again\n"
    assert main(["webhooks", "dead", *where, "--lang", "en"]) == 0
    assert capsys.readouterr().out == "nothing was given up\n"
    assert main(["webhooks", "resume", "crm", *where]) == 0
    assert main(["webhooks", "resume", "erp", *where]) == 2
    assert "expected an endpoint of the spool (crm), got erp" in capsys.readouterr().err


def test_a_process_that_is_killed_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    n_alerts, n_each = 20, 10
    expected = [
        message(f"{alert:x}", 1 + step * n_alerts + alert) for step in range(n_each) for alert in range(n_alerts)
    ]

    async def play() -> None:
        receiver = Receiver()

        async def slowly(request: web.Request, _number: int) -> web.StreamResponse:
            await asyncio.sleep(0.01)
            receiver.taken.append(request.headers["webhook-id"])
            return web.Response(status=204)

        receiver.answer = slowly
        await receiver.start()
        path = write(tmp_path, receiver.url)
        command = [sys.executable, "-m", "streams.cli", "webhooks", "run", "--redis", server.url, "--begin", "earliest"]
        command += ["--endpoints", str(path), "--spool", str(tmp_path / "spool.sqlite")]
        for upto, how in ((40, signal.SIGKILL), (90, signal.SIGKILL), (140, signal.SIGTERM), (200, signal.SIGTERM)):
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=log, env={**os.environ, "NO_PROXY": "*"}
            )
            try:
                async with asyncio.timeout(DEADLINE_S):
                    while len(set(receiver.taken)) < upto:
                        assert process.poll() is None, (tmp_path / "log").read_text()
                        await asyncio.sleep(0.002)
                process.send_signal(how)
                code = await asyncio.to_thread(process.wait, DEADLINE_S)
                assert code == (0 if how is signal.SIGTERM else -signal.SIGKILL), (tmp_path / "log").read_text()
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        await receiver.stop()
        assert set(receiver.taken) == {each.key for each in expected}
        # What was under way when the process was killed came twice, under the same key.
        assert len(receiver.taken) - len(expected) <= 2 * 4
        for alert in range(n_alerts):
            line = [key for key in dict.fromkeys(receiver.taken) if key.startswith(f"{alert:016x}:")]
            assert line == [each.key for each in expected if each.alert_id == f"{alert:016x}"]

    with EmbeddedRedis(tmp_path / "redis", port=0) as server, (tmp_path / "log").open("wb") as log:
        client = server.client()
        for each in expected:
            told = fields(each.alert_id.lstrip("0") or "0", each.seq)
            client.execute_command("XADD", "risk:alerts", "*", *(part for pair in told.items() for part in pair))
        client.close()
        asyncio.run(play())
    with Spool(tmp_path / "spool.sqlite") as spool:
        assert spool.rows("SELECT count(*) FROM message") == [(0,)]
