"""Metrics by model version, segment of customers and time, of bounded size, stored part by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import msgspec

from models.errors import InputRefused, SnapshotDamaged, SnapshotForeign
from models.snapshot import pack, unpack

__all__ = ["DAY_MS", "NAME_LENGTH", "OTHER", "MetricBook", "Metrics"]

DAY_MS: Final = 86_400_000
"""Milliseconds of a day."""

OTHER: Final = "other"
"""Version and segment of what came when the book was full."""

NAME_LENGTH: Final = 64
"""Most characters of a version or a segment."""

_HEAD: Final = "head"
_HEAD_KIND: Final = "metric_book"
_PART_KIND: Final = "metric_book_part"


class Metrics(Protocol):
    """What a book can hold: sums that add up and can be stored, as those of `models.metrics`."""

    def update(self, p: float, y: Any) -> None:
        """Count one prediction; raises `InputRefused` and counts nothing if it is none."""

    def merge(self, other: Self) -> None:
        """Add what `other` counted; `other` stays as it is."""

    def get(self) -> dict[str, float]:
        """The figures."""

    def snapshot(self) -> bytes:
        """All sums as data."""

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The metrics that `snapshot` stored; raises `SnapshotError` otherwise."""


M = TypeVar("M", bound=Metrics)


class _Head(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    metrics: str
    bucket_ms: int
    n_buckets: int
    max_groups: int
    groups: list[tuple[str, str]]


class _Part(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    bucket: int | None
    metrics: bytes


class _Group(Generic[M]):
    """Sums of one version and segment: the newest buckets of time, and all that is older."""

    __slots__ = ("buckets", "newest", "old")

    def __init__(self) -> None:
        self.old: M | None = None
        self.buckets: dict[int, M] = {}
        self.newest: int | None = None


class MetricBook(Generic[M]):
    """Metrics in groups (version of the model, segment of the customer), each in buckets of event time.

    The sum of all time is what fell out of the newest `n_buckets` and the buckets themselves, added up when it is
    read: so one update changes one small part of the stored book. Wrong as a list of all versions ever: when it is
    full, a new group is counted under `OTHER` for ever. Books of lanes add up, in the order of the lanes.

    Parameters
    ----------
    metrics
        `ClassificationMetrics` or `CountMetrics`.
    bucket_ms
        Width of a bucket, ms of event time, >= 1. Thirty days: with the default horizon a month has its labels when
        the next one ends.
    n_buckets
        Buckets kept apart in each group, >= 1; 13 of 30 d are a year and the month under way.
    max_groups
        Groups kept apart, >= 1, beside `OTHER`.

    Examples
    --------
    >>> from models.metrics import ClassificationMetrics
    >>> book = MetricBook(ClassificationMetrics)
    >>> for day, p, y in [(3, 0.9, True), (40, 0.2, False), (70, 0.4, True)]:
    ...     book.update(p, y, at=day * DAY_MS, version="dense-1", segment="student")
    >>> book.total().n, book.recent(now=75 * DAY_MS, window_ms=30 * DAY_MS).n
    (3, 2)
    >>> [(start // DAY_MS, metrics.n) for start, metrics in book.series(segment="student")]
    [(0, 1), (30, 1), (60, 1)]
    """

    def __init__(
        self, metrics: type[M], *, bucket_ms: int = 30 * DAY_MS, n_buckets: int = 13, max_groups: int = 16
    ) -> None:
        if min(bucket_ms, n_buckets, max_groups) < 1:
            raise InputRefused(
                f"metric book: expected bucket_ms, n_buckets, max_groups >= 1, got {bucket_ms}, {n_buckets}, "
                f"{max_groups}"
            )
        self._metrics = metrics
        self._bucket_ms = bucket_ms
        self._n_buckets = n_buckets
        self._max_groups = max_groups
        self._groups: dict[tuple[str, str], _Group[M]] = {}
        self._ranks: dict[tuple[str, str], int] = {}
        self._changed: set[str] = {_HEAD}
        self._revision = 0

    @property
    def revision(self) -> int:
        """How often the book has changed since it was made or restored: what was read at one revision holds for it."""
        return self._revision

    @property
    def groups(self) -> list[tuple[str, str]]:
        """Version and segment of each group, in the order in which they came."""
        return list(self._groups)

    def update(self, p: float, y: Any, *, at: int, version: str, segment: str) -> None:
        """Count one prediction whose label has matured.

        Parameters
        ----------
        p, y
            As for `update` of the metrics.
        at
            When it was predicted, event time, ms. It may be older than what was counted before.
        version, segment
            The group, each of 1 to `NAME_LENGTH` characters.

        Raises
        ------
        InputRefused
            If the prediction or a name is refused; nothing was counted.
        """
        key = (version, segment)
        bucket = at // self._bucket_ms
        group = self._groups.get(key)
        if group is not None and bucket in group.buckets:
            group.buckets[bucket].update(p, y)
            self._revision += 1
            self._changed.add(self._name(key, bucket))
            return
        one = self._metrics()
        one.update(p, y)
        self._add(self._opened(key), bucket, one)

    def merge(self, other: MetricBook[M]) -> None:
        """Add what `other` counted; `other` stays as it is.

        Raises
        ------
        InputRefused
            If its buckets or metrics are others; nothing was added.
        """
        if (self._metrics, self._bucket_ms) != (other._metrics, other._bucket_ms):
            raise InputRefused("metric book: expected a book of the same metrics and buckets; merge like with like")
        for key, its in other._groups.items():
            opened = self._opened(key)
            if its.old is not None:
                self._age(opened, its.old)
            for bucket in sorted(its.buckets):
                self._add(opened, bucket, its.buckets[bucket])

    def _opened(self, key: tuple[str, str]) -> tuple[str, str]:
        """The key under which `key` is counted; its group exists afterwards."""
        if key in self._groups:
            return key
        if not all(1 <= len(name) <= NAME_LENGTH for name in key):
            raise InputRefused(f"metric book: expected names of 1 to {NAME_LENGTH} characters, got {key!r}")
        other = (OTHER, OTHER)
        if len(self._groups) - (other in self._groups) >= self._max_groups:
            key = other
        if key not in self._groups:
            self._ranks[key] = len(self._groups)
            self._groups[key] = _Group()
            self._changed.add(_HEAD)
        return key

    def _add(self, key: tuple[str, str], bucket: int, metrics: M) -> None:
        self._revision += 1
        group = self._groups[key]
        newest = group.newest
        if newest is None or bucket > newest:
            group.newest = newest = bucket
            for passed in sorted(kept for kept in group.buckets if kept <= bucket - self._n_buckets):
                self._age(key, group.buckets.pop(passed))
                self._changed.discard(self._name(key, passed))
        if bucket <= newest - self._n_buckets:
            self._age(key, metrics)
            return
        group.buckets.setdefault(bucket, self._metrics()).merge(metrics)
        self._changed.add(self._name(key, bucket))

    def _age(self, key: tuple[str, str], metrics: M) -> None:
        self._revision += 1
        group = self._groups[key]
        if group.old is None:
            group.old = self._metrics()
        group.old.merge(metrics)
        self._changed.add(self._name(key, None))

    def _name(self, key: tuple[str, str], bucket: int | None) -> str:
        # The place in the ring, not the bucket: a new bucket is stored over the one that it pushed out.
        return f"{self._ranks[key]}/{'old' if bucket is None else bucket % self._n_buckets}"

    def total(self, *, version: str | None = None, segment: str | None = None) -> M:
        """The sum of all time over the groups of a version and a segment; `None` means all of them."""
        out = self._metrics()
        for group in self._chosen(version, segment):
            if group.old is not None:
                out.merge(group.old)
            for bucket in sorted(group.buckets):
                out.merge(group.buckets[bucket])
        return out

    def recent(self, now: int, window_ms: int, *, version: str | None = None, segment: str | None = None) -> M:
        """The sum over the buckets that touch (now - window_ms, now], ms: up to a bucket more than the window.

        What is older than the buckets kept is missing, however long the window.
        """
        first, last = self.span(now, window_ms)
        out = self._metrics()
        for group in self._chosen(version, segment):
            for bucket in sorted(group.buckets):
                if first <= bucket <= last:
                    out.merge(group.buckets[bucket])
        return out

    def span(self, now: int, window_ms: int) -> tuple[int, int]:
        """The first and the last bucket that (now - window_ms, now], ms, touches."""
        return (now - window_ms + 1) // self._bucket_ms, now // self._bucket_ms

    def series(self, *, version: str | None = None, segment: str | None = None) -> list[tuple[int, M]]:
        """Start (ms) and sum of each bucket kept, oldest first; buckets without predictions are missing."""
        sums: dict[int, M] = {}
        for group in self._chosen(version, segment):
            for bucket, metrics in group.buckets.items():
                sums.setdefault(bucket, self._metrics()).merge(metrics)
        return [(bucket * self._bucket_ms, sums[bucket]) for bucket in sorted(sums)]

    def _chosen(self, version: str | None, segment: str | None) -> list[_Group[M]]:
        return [g for (v, s), g in self._groups.items() if version in (None, v) and segment in (None, s)]

    def changed(self) -> dict[str, bytes]:
        """Name and bytes of each part that changed since the last call; store them over those of the same name.

        There are at most 1 + (max_groups + 1) * (n_buckets + 1) names. A batch mostly changes one part per group that
        had a label in it.
        """
        parts = self._parts()
        out = {name: self._packed(*parts[name]) for name in sorted(self._changed - {_HEAD})}
        if _HEAD in self._changed:
            out[_HEAD] = self._head()
        self._changed.clear()
        return out

    def snapshot(self) -> dict[str, bytes]:
        """All parts; what was changed stays so for `changed`."""
        return {_HEAD: self._head()} | {name: self._packed(*part) for name, part in sorted(self._parts().items())}

    def _parts(self) -> dict[str, tuple[int | None, M]]:
        out: dict[str, tuple[int | None, M]] = {}
        for key, group in self._groups.items():
            if group.old is not None:
                out[self._name(key, None)] = (None, group.old)
            for bucket, metrics in group.buckets.items():
                out[self._name(key, bucket)] = (bucket, metrics)
        return out

    def _packed(self, bucket: int | None, metrics: M) -> bytes:
        return pack(_PART_KIND, _Part(bucket, metrics.snapshot()))

    def _head(self) -> bytes:
        settings = (self._metrics.__name__, self._bucket_ms, self._n_buckets, self._max_groups)
        return pack(_HEAD_KIND, _Head(*settings, self.groups))

    @classmethod
    def restore(cls, metrics: type[M], parts: Mapping[str, bytes]) -> MetricBook[M]:
        """The book whose parts were stored.

        Parameters
        ----------
        metrics
            As for the book that was stored.
        parts
            The newest bytes of every name that `changed` gave.

        Raises
        ------
        SnapshotError
            If a part is missing, damaged, or of other metrics.
        """
        if _HEAD not in parts:
            raise SnapshotDamaged("metric book: expected a part named 'head', got none; restore all parts of the book")
        head = unpack(_HEAD_KIND, parts[_HEAD], _Head)
        if head.metrics != metrics.__name__:
            raise SnapshotForeign(
                f"expected a book of {metrics.__name__}, got one of {head.metrics}; name the right one"
            )
        try:
            book = cls(metrics, bucket_ms=head.bucket_ms, n_buckets=head.n_buckets, max_groups=head.max_groups)
            if [book._opened(key) for key in head.groups] != [*dict.fromkeys(head.groups)]:
                raise InputRefused("more groups than it may have, or one twice")
        except InputRefused as error:
            raise SnapshotDamaged(f"metric book: {error}; restore all parts of the book") from error
        for rank, group in enumerate(book._groups.values()):
            book._load(group, rank, parts)
        book._changed.clear()
        return book

    def _load(self, group: _Group[M], rank: int, parts: Mapping[str, bytes]) -> None:
        if (old := parts.get(f"{rank}/old")) is not None:
            group.old = self._metrics.restore(unpack(_PART_KIND, old, _Part).metrics)
        found: dict[int, bytes] = {}
        for place in range(self._n_buckets):
            if (data := parts.get(f"{rank}/{place}")) is None:
                continue
            part = unpack(_PART_KIND, data, _Part)
            if part.bucket is None or part.bucket % self._n_buckets != place:
                raise SnapshotDamaged(
                    f"metric book: {rank}/{place} holds another bucket; restore all parts of the book"
                )
            found[part.bucket] = part.metrics
        group.newest = max(found, default=None)
        for bucket, data in sorted(found.items()):
            # A part that was pushed out stands in the store until its place is taken again; it is in the old sum.
            if group.newest is not None and bucket > group.newest - self._n_buckets:
                group.buckets[bucket] = self._metrics.restore(data)
