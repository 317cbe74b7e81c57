"""Puts questions to Redis, with a client that waits."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from redis.exceptions import ResponseError

from streams.redis.client import Command, RedisClient, RedisPipeline, talking

__all__ = ["Ask", "Question", "answer", "checked"]

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Ask:
    """Commands to put at once.

    Parameters
    ----------
    commands
        To send in one piece.
    what
        What is being done, for messages.
    together
        Whether the answers have to be of one moment.
    refusals
        How refusals begin that are answers too: their text is handed over in place of an answer.
    """

    commands: Sequence[Command]
    what: str
    together: bool = False
    refusals: tuple[str, ...] = ()


Question: TypeAlias = Generator[Ask, list[Any], _Value]
"""A question: yields what to ask, is sent the answers in the order of the commands, returns the value."""


def answer(client: RedisClient, question: Question[_Value]) -> _Value:
    """What a question returns.

    Raises
    ------
    StoreUnavailable, UsageError, StateIncompatible
        See `client.henji_error`; and whatever the question raises.
    """
    try:
        ask = next(question)
        while True:
            with talking(ask.what):
                pipe: RedisPipeline = client.pipeline(transaction=ask.together)
                for command in ask.commands:
                    pipe.execute_command(*command)
                answers = checked(ask, pipe.execute(raise_on_error=not ask.refusals))
            ask = question.send(answers)
    except StopIteration as answered:
        value: _Value = answered.value
        return value


def checked(ask: Ask, answers: list[Any]) -> list[Any]:
    """The answers, with refusals that are answers as text.

    Raises
    ------
    redis.exceptions.RedisError
        The first refusal that is none.
    """
    told = []
    for each in answers:
        if isinstance(each, Exception):
            if not (isinstance(each, ResponseError) and str(each).startswith(ask.refusals)):
                raise each
            each = str(each)
        told.append(each)
    return told
