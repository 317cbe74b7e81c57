from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streams.live.health import HealthServer
from streams.live.metrics import Metrics
from streams.live.probe import main
from streams.live.progress import Progress

ROOT = Path(__file__).parents[3]


def probed(progress: Progress, path: str) -> int:
    async def run() -> int:
        server = HealthServer("127.0.0.1:0", progress, Metrics(), now_ms=lambda: 1)
        await server.start()
        try:
            return await asyncio.to_thread(main, [server.url + path])
        finally:
            await server.stop()

    return asyncio.run(run())


def test_a_live_worker_is_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert probed(Progress(1), "/live") == 0
    assert capsys.readouterr().out == '{"live":true,"reason":""}\n'


def test_a_stopped_worker_is_not_and_the_probe_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(1)
    progress.stopped("the fuse has blown")
    assert probed(progress, "/live") == 1
    assert "the fuse has blown" in capsys.readouterr().out


def test_another_path_is_not_healthy() -> None:
    assert probed(Progress(1), "/nothing") == 1


def test_nobody_there_is_not_healthy(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert main([f"http://127.0.0.1:{taken.getsockname()[1]}/live"]) == 1
    assert "expected an answer" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["/live"], ["file:///etc/passwd"], ["http://a", "http://b"]])
def test_wrong_use_is_code_2(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_it_starts_without_the_engine_or_faust() -> None:
    code = "import streams.live.probe, sys; print(sorted({'faust', 'river', 'redis', 'aiokafka'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"
