"""Errors of aiokafka as errors of ours: what was tried, at which brokers, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors as kafka

from engine.errors import HenjiError, RecoverableError, UsageError
from streams.kafka.connection import Connection

__all__ = ["mapped"]

# Where nobody has set up a log, aiokafka's words must not stand before our message on standard error.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())

_REFUSED = (
    kafka.AuthenticationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.SaslAuthenticationFailed,
    kafka.TopicAuthorizationFailedError,
    kafka.TransactionalIdAuthorizationFailed,
    kafka.UnsupportedSaslMechanismError,
)
_TOO_LONG = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError, kafka.RecordTooLargeError)


@contextmanager
def mapped(connection: Connection, doing: str) -> Iterator[None]:
    """Turn what aiokafka raises in the context into our errors; ours pass as they are.

    Parameters
    ----------
    connection
        Names the brokers in the message.
    doing
        What is tried, such as `create topics`.

    Raises
    ------
    UsageError
        If Kafka does not let us, or is too old.
    RecoverableError
        If no broker answers.
    HenjiError
        If a record is too long for its topic, or Kafka refuses for another reason.

    Examples
    --------
    >>> with mapped(Connection(("localhost:9092",)), "read events.dead"):
    ...     raise kafka.TopicAuthorizationFailedError()
    Traceback (most recent call last):
    ...
    engine.errors.UsageError: read events.dead: expected a user of Kafka who may, got TopicAuthorizationFailedError;
    check kafka.sasl.user and the ACLs
    """
    try:
        yield
    except (kafka.KafkaError, OSError, TimeoutError) as error:
        raise _ours(error, connection, doing) from error


def _ours(error: BaseException, connection: Connection, doing: str) -> HenjiError:
    name = type(error).__name__
    match error:
        case _ if isinstance(error, _REFUSED):
            return UsageError(
                f"{doing}: expected a user of Kafka who may, got {name}; check kafka.sasl.user and the ACLs"
            )
        case kafka.UnsupportedVersionError() | kafka.IncompatibleBrokerVersion():
            return UsageError(f"{doing}: expected brokers of Kafka 2.1 or newer, got {name}")
        case _ if isinstance(error, _TOO_LONG):
            return HenjiError(
                f"{doing}: expected records that fit max.message.bytes of the topic, got {name}; raise it"
            )
        case kafka.BrokerResponseError() if not error.retriable:
            return HenjiError(f"{doing}: expected Kafka to do it, got {error}")
        case _:
            return RecoverableError(
                f"{doing}: expected an answer from {','.join(connection.brokers)}, got {str(error) or name}; "
                "start Kafka, or correct kafka.brokers and kafka.security"
            )
