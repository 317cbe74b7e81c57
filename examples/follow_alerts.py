"""Follow alerts and show the flags of each customer: `python examples/follow_alerts.py URL [PREFIX]`."""

from __future__ import annotations

import contextlib
import sys
import time

from engine.errors import StoreUnavailable
from streams.client import RiskBoard, connect


def main(url: str, prefix: str = "risk:") -> None:
    """Show alerts as they come, until Ctrl-C."""
    board = RiskBoard(connect(url), prefix)
    newest = board.last_alerts(1)
    after = newest[0].stream_id if newest else "0"
    print("following", flush=True)
    while True:
        try:
            alerts, _ = board.news(after, "$", block_ms=2_000)
            for alert in alerts:
                # Who shows alerts to people leaves out what was held back; to know what is up, use `board.fold`.
                if not alert.held:
                    line = alert.line
                    print(f"{line['op']} {line['flag']} {line['customer_id']}")
                    for flag in board.flags(line["customer_id"]) or []:
                        up = {True: "up", False: "down", None: "unknown"}[flag.up]
                        print(f"  {flag.field} {flag.severity} since {flag.since} {up}", flush=True)
                after = alert.stream_id
        except StoreUnavailable:
            time.sleep(1)  # Redis restarts; nothing is lost, the stream is there when it is back


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
