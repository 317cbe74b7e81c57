"""The service desk in the engine: to whom an alert goes, what is held back, and what people say of it.

`Desk` is the configuration (desk.toml), `Ticket` one alert as the desk sees it, `Tickets` those of a customer, and
`Dispatch` decides about each message. What an alert says, its line, never depends on any of it.
"""

from __future__ import annotations

from engine.desk.desk import Desk

__all__ = ["Desk"]
