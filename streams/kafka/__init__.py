"""Kafka: how it is reached, the topics of a deployment, producers that place records as the worker expects them.

Everything here speaks aiokafka. The live worker's consumer is Faust's (`streams.live`); what it needs to know of the
brokers comes from `connection.Connection` all the same, so that there is one set of settings.
"""

from __future__ import annotations

__all__: list[str] = []
