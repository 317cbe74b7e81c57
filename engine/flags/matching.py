"""When an event B answers or follows an event A (docs/rules.md, shapes `overdue` and `follows`)."""

from __future__ import annotations

__all__ = ["matches"]


def matches(
    first_case: str | None, first_category: str | None, then_case: str | None, then_category: str | None
) -> bool:
    """Whether B is about the same thing as A: by case if both have one, else by category.

    Parameters
    ----------
    first_case, first_category
        Of A; `None` where it has none.
    then_case, then_category
        Of B. Category `*` is one that equals nothing.

    Examples
    --------
    >>> matches("case-1", "billing", "case-2", "billing")
    False
    >>> matches("case-1", "billing", None, "billing")
    True
    >>> matches("case-1", "billing", None, None)
    True
    """
    if first_case is not None and then_case is not None:
        return first_case == then_case
    if first_category is not None and then_category is not None:
        return first_category == then_category != "*"
    return (first_case is None and first_category is None) or (then_case is None and then_category is None)
