"""Readers of the board for other programs: everything that one needs is imported from here.

Local words. A *board* answers questions about now; a *stream* hands out messages as they come. Both come twice, for
programs that wait and for programs on asyncio (`Async...`), from one description of what is asked and how answers are
read. What a method returns is a frozen value; what is missing is `None`, unknown, and never zero.
"""

from __future__ import annotations

from streams.client.alert_stream import AlertStream, AsyncAlertStream
from streams.client.async_board import AsyncRiskBoard
from streams.client.async_client import connect_async
from streams.redis.board import RiskBoard
from streams.redis.client import connect
from streams.redis.folded import Folded, FoldedFlag, FoldStep
from streams.redis.views import AlertView

__all__ = [
    "AlertStream",
    "AlertView",
    "AsyncAlertStream",
    "AsyncRiskBoard",
    "FoldStep",
    "Folded",
    "FoldedFlag",
    "RiskBoard",
    "connect",
    "connect_async",
]
