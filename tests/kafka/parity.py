"""`make parity`: the whole grid in which live must equal replay, byte for byte.

    python -m tests.kafka.parity --logs DIR --broker apache --partitions 1,4,8 --workers 1,2,3

Every log (`*.jsonl`, `*.jsonl.gz`) of the folder and a simulated one are replayed once. Then each is sent to a topic of
as many partitions as asked for, the topic is replayed (`henji replay --kafka`), and read live by as many workers as
asked for, each time into an empty Redis. Compared are digest, counts, board, alerts, dead letters and late events.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson

from streams.kafka.embedded import EmbeddedBroker
from streams.simulate import SimulationSettings, write_log
from tests.kafka.apache import ApacheKafka, install
from tests.kafka.deployment import Deployment, Reference, differences, replayed, settings_of, write_topic

__all__ = ["main"]

# As shipped; with it workers that start together get their partitions together.
_REBALANCE_DELAY_MS = 3_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the grid; exit code 1 when anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.kafka.parity", description="Live equals replay.")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="folder with real logs, *.jsonl and *.jsonl.gz")
    parser.add_argument("--only", metavar="NAME,...", help="of these logs, those whose names begin so; or simulated")
    parser.add_argument("--events", type=int, default=200_000, help="of the simulated log; 0: none [200000]")
    parser.add_argument("--broker", choices=["apache", "embedded", "both"], default="both", help="[both]")
    parser.add_argument("--partitions", type=_numbers, default=[1, 4, 8], metavar="N,...", help="[1,4,8]")
    parser.add_argument("--workers", type=_numbers, default=[1, 2, 3], metavar="N,...", help="[1,2,3]")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    asked = parser.parse_args(arguments)
    kinds = ["apache", "embedded"] if asked.broker == "both" else [asked.broker]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="henji-parity-") as folder:
        for log in _logs(asked, Path(folder)):
            _say(f"{log.name}: replay of the file")
            expected = replayed(settings_of("127.0.0.1:9", "file"), log)
            _say(f"  {expected.answers.counts.read:,} records, {expected.answers.n_alerts:,} alerts, "
                 f"{expected.seconds:.1f} s, digest {expected.answers.digest[:12]}")  # fmt: skip
            for kind in kinds:
                with _broker(kind) as broker:
                    for row in _column(log, expected, kind, broker.brokers, asked, Path(folder)):
                        rows.append(row)
                        _say(_line(row))
    wrong = [row for row in rows if row["wrong"]]
    if asked.json:
        sys.stdout.buffer.write(orjson.dumps({"runs": rows, "wrong": len(wrong)}) + b"\n")
    else:
        print("\n".join(map(_line, rows)))
        print(f"{len(rows) - len(wrong)} of {len(rows)} equal")
    return 1 if wrong or not rows else 0


def _column(
    log: Path, expected: Reference, kind: str, brokers: str, asked: argparse.Namespace, folder: Path
) -> Iterator[dict[str, Any]]:
    """One log on one broker, over partitions and workers."""
    for partitions in asked.partitions:
        topic = f"log-{partitions}"
        settings = {"kafka.partitions": str(partitions)}
        n = write_topic(settings_of(brokers, topic, settings), log)
        of_topic = replayed(settings_of(brokers, topic, settings))
        place = {"log": log.name, "broker": kind, "partitions": partitions}
        yield {**place, "workers": 0, "took_part": 0, "records": n, "seconds": round(of_topic.seconds, 1),
               "wrong": differences(of_topic.answers, expected.answers)}  # fmt: skip
        for workers in asked.workers:
            name = f"{topic}-{workers}"
            directory = folder / f"{log.name}-{kind}-{name}"
            with Deployment(directory, brokers, topic, name=name, settings=settings) as deployment:
                for _ in range(workers):
                    deployment.start_worker()
                deployment.wait_until_read(1)
                seconds = deployment.wait_until_read(n)
                took_part = deployment.took_part()
                deployment.stop_workers()
                live = deployment.answers(n_alerts=expected.answers.n_alerts)
                wrong = differences(live, expected.answers)
                wrong += [f"replay --kafka: {each}" for each in differences(live, of_topic.answers)]
                if deployment.sent_alerts() != live.alerts:
                    wrong.append("alerts: expected the same in stream and topic")
            yield {**place, "workers": workers, "took_part": took_part, "records": n, "seconds": round(seconds, 1),
                   "wrong": wrong}  # fmt: skip


def _logs(asked: argparse.Namespace, folder: Path) -> Iterator[Path]:
    names = tuple(asked.only.split(",")) if asked.only else ("",)
    if asked.logs is not None:
        yield from (path for path in sorted(asked.logs.glob("*.jsonl*")) if path.name.startswith(names))
    if asked.events and "simulated".startswith(names):
        log = folder / "simulated.jsonl"
        settings = SimulationSettings(
            events=asked.events, seed=7, disorder_share=0.05, late_share=0.01, duplicate_share=0.02, bad_share=0.01
        )
        write_log(settings, log, folder / "truth.jsonl")
        yield log


def _broker(kind: str) -> AbstractContextManager[ApacheKafka | EmbeddedBroker]:
    if kind == "embedded":
        return EmbeddedBroker()
    return ApacheKafka(install(), rebalance_delay_ms=_REBALANCE_DELAY_MS, heap_mb=512)


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _line(row: dict[str, Any]) -> str:
    who = f"{row['workers']} workers ({row['took_part']} took part)" if row["workers"] else "replay --kafka"
    told = "; ".join(row["wrong"]) or "equal"
    return (
        f"{row['log']:<22} {row['broker']:<8} {row['partitions']} partitions  {who:<26} {row['records']:>8,} records "
        f"{row['seconds']:>6.1f} s  {told}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
