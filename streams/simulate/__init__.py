"""A seeded campus app: a realistic event log with its ground truth, for demos, tests and sizing.

`settings` says what to simulate; `plan` what happens to everybody (incidents, campaigns, accounts); `person` who
somebody is and how it ends; `life` lives a person's days, with `visit` and `case` for what happens in them; `campus`
merges the lives into a log; `delivery` makes it arrive late, twice or broken; `truth` and `log` write it down.

Words: a *plan* belongs to the campus, a *fate* to a person, a *step* is something a life will do at a time. Times are
integer milliseconds, UTC; days and hours are local to the campus. Randomness comes from seeds derived by name
(`subseed`), so nobody's life depends on how many others there are or in what order they live.
"""

from __future__ import annotations

from streams.simulate.campus import Campus, simulate
from streams.simulate.log import Summary, write_log
from streams.simulate.settings import SimulationSettings

__all__ = ["Campus", "SimulationSettings", "Summary", "simulate", "write_log"]
