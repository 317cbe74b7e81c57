"""Messages put into an alert stream, as a worker would."""

from __future__ import annotations

from streams.redis.client import RedisClient
from tests.streams.redis.samples import KEYS, alert

__all__ = ["sent"]


def sent(client: RedisClient, *ops: tuple[str, str], flag: str = "repeat_request", held: str = "") -> None:
    """Put messages into the stream: (first letter of the alert id, op)."""
    for number, (letter, op) in enumerate(ops):
        made = alert(letter * 16, seq=number)
        made.op, made.flag = op, flag
        fields: dict[str, str | bytes] = {"alert_id": made.alert_id, "seq": str(number), "lane": "0"}
        fields |= {"line": made.line(), "priority": "3", "route": "", "scene": "[]", "held": held}
        client.execute_command("XADD", KEYS.alerts, "*", *(word for pair in fields.items() for word in pair))
