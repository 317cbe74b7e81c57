"""The console's server: a board for people, with accounts, live alerts and orders that go out through the intake.

It reads the board in Redis and never the ledger. What people do (acknowledge, snooze, judge, override) leaves as
control events by HTTP to an intake, so that the log has it and a replay keeps it. Who may do what is in `routes`;
accounts, sessions and the audit live in a SQLite file of the console's own (`file`). `server` puts it together.

Words: a *visitor* is whoever asks, with or without a session; a *door* is a class of handlers; an *order* is a control
event that a person causes; a *row* is an alert as the page gets it.
"""

from __future__ import annotations

__all__: list[str] = []
