"""The file door: historical logs through the same engine as live events, with the same answers."""

from __future__ import annotations
