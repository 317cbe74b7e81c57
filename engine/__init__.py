"""The decision: events in, flags, scores and alerts out; pure, deterministic, no I/O and no clock of its own.

`engine.lane.Lane` is the heart: events of one lane in log order give an `engine.outcome.Outcome`. Words of this
package: a
*lane* is the unit of state; the *lane clock* is the largest event time applied; `frozen` is a time before which no
event can
come any more; a *landmark* is a moment at which a customer is scored; times are integer milliseconds of event time.
"""
