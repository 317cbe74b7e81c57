"""Who may do what: four roles, each with all rights of those below it."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ROLES", "Role"]


class Role(IntEnum):
    """A role; a higher one may do all that a lower one may.

    Examples
    --------
    >>> Role.of("lead") >= Role.AGENT, Role.ADMIN.word
    (True, 'admin')
    """

    VIEWER = 1
    AGENT = 2
    LEAD = 3
    ADMIN = 4

    @property
    def word(self) -> str:
        """As files and requests name it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Role:
        """The role of a word.

        Raises
        ------
        KeyError
            If it is none.
        """
        return ROLES[word]


ROLES = {role.word: role for role in Role}
"""Word -> role."""
