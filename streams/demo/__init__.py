"""A deployment that fits one machine and one command: broker, Redis and worker as children, a log as its traffic."""

from __future__ import annotations
