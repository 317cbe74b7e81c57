"""Every path of the console, with the least role that may use it; nothing else decides who may do what."""

from __future__ import annotations

from dataclasses import dataclass

from streams.console.roles import Role

__all__ = ["ROUTES", "Route"]


@dataclass(frozen=True, slots=True)
class Route:
    """A path.

    Parameters
    ----------
    method
        `GET`, or `POST`, which has to prove that it comes from a page of ours.
    path
        With `{...}` for parts.
    name
        Of its handler.
    least
        The least role; `None`: everybody, without a session.
    what
        What it does, in a line, for the OpenAPI document.
    """

    method: str
    path: str
    name: str
    least: Role | None
    what: str

    @property
    def pattern(self) -> str:
        """The path as aiohttp matches it: a part is any text, but that of a file may have slashes."""
        return self.path.replace("{path}", "{path:.+}").replace("_id}", "_id:[^/]+}").replace("{name}", "{name:[^/]+}")


ROUTES = (
    Route("GET", "/", "page", None, "The page."),
    Route("GET", "/static/{path}", "static", None, "A file of the page."),
    Route("GET", "/healthz", "health", None, "Whether the process lives."),
    Route("GET", "/api/openapi.json", "openapi", None, "This document."),
    Route("GET", "/api/session", "session", None, "Who is logged in, and what every form needs."),
    Route("POST", "/api/login", "login", None, "Log in."),
    Route("GET", "/api/oidc/start", "oidc_start", None, "Go to the provider to log in."),
    Route("GET", "/api/oidc/callback", "oidc_callback", None, "Come back from it; leads on to the page."),
    Route("POST", "/api/logout", "logout", None, "Log out."),
    Route("POST", "/api/setup", "setup", None, "Choose a password by a one-time link."),
    Route("POST", "/api/password", "password", Role.VIEWER, "Choose another password."),
    Route("POST", "/api/totp/begin", "totp_begin", Role.VIEWER, "A new secret for codes."),
    Route("POST", "/api/totp/confirm", "totp_confirm", Role.VIEWER, "Ask for codes from now on."),
    Route("POST", "/api/totp/end", "totp_end", Role.VIEWER, "Ask for no codes any more."),
    Route("GET", "/api/users", "users", Role.ADMIN, "All accounts."),
    Route("POST", "/api/users", "add_user", Role.ADMIN, "Add an account; answers its one-time link."),
    Route("POST", "/api/users/{name}", "change_user", Role.ADMIN, "Another role; lock or unlock; reset."),
    Route("GET", "/api/audit", "audit", Role.ADMIN, "Who did and saw what, the newest first."),
    Route("GET", "/api/alerts", "alerts", Role.VIEWER, "Alerts that are open, held back or closed."),
    Route("GET", "/api/alerts/{alert_id}", "alert", Role.VIEWER, "An alert with its scene."),
    Route("POST", "/api/alerts/{alert_id}/ack", "ack", Role.AGENT, "Acknowledge, or take that back."),
    Route("POST", "/api/alerts/{alert_id}/snooze", "snooze", Role.AGENT, "Snooze, or wake."),
    Route("POST", "/api/alerts/{alert_id}/outcome", "outcome", Role.AGENT, "Judge, or take that back."),
    Route("GET", "/api/events", "events", Role.VIEWER, "Server-sent events: alert, fact, input, reset."),
    Route("GET", "/api/customers/{customer_id}", "customer", Role.VIEWER, "All that the board says of a customer."),
    Route("POST", "/api/customers/{customer_id}/override", "override", Role.LEAD, "Hold a flag up or down."),
    Route("GET", "/api/leaders/{name}", "leaders", Role.VIEWER, "A leaderboard."),
    Route("GET", "/api/rules", "rules", Role.VIEWER, "How the alerts of each rule fare."),
    Route("GET", "/api/service", "service", Role.VIEWER, "Scorecards by category and channel, and incidents."),
    Route("GET", "/api/delivery", "delivery", Role.VIEWER, "What was delivered and held back, and why."),
    Route("GET", "/api/models", "models", Role.VIEWER, "How good the models are."),
    Route("GET", "/api/operations", "operations", Role.VIEWER, "Lanes, freshness, counts."),
)
"""In the order in which they are tried."""
