"""The state of flags: one small machine per rule and key, exact for any order of arrival.

Every machine keeps its newest traces (`items`, in event-time order) and a `base` that holds what older traces,
already let
go, have left behind. What it says now is always `base` folded over `items`: an event that comes in order is one
step, an event out of order is put in its place and the items are folded again. So the answer depends on the traces,
never on the order in which they came, nor on when the state was saved and loaded.

Local words: a rule *holds* at an event if its condition is true there; a *hold* is (time, event id, evidence); `tau`
is the
time for which a status is asked; `frozen` is a time before which no event can come any more (lane clock - lateness).
"""

from __future__ import annotations
