"""Every error of the models, on one screen.

ModelError
  InputRefused          an example that would spoil the model; nothing was changed (also a ValueError)
  SnapshotError         bytes from which no model can be made
    SnapshotTruncated     shorter, or longer, than they say they are
    SnapshotDamaged       the checksum or the content is wrong
    SnapshotNewer         written by a later schema
    SnapshotForeign       of another kind of model, or of other features

Models import nothing above them, so these are not of the engine's tree: the engine maps `SnapshotNewer` and
`SnapshotForeign` to `StateIncompatible`, `SnapshotTruncated` and `SnapshotDamaged` to `CorruptState`. `InputRefused` is
a bug of the caller, who makes the features, and is not mapped.
"""

from __future__ import annotations

__all__ = [
    "InputRefused",
    "ModelError",
    "SnapshotDamaged",
    "SnapshotError",
    "SnapshotForeign",
    "SnapshotNewer",
    "SnapshotTruncated",
]


class ModelError(Exception):
    """Base of every error that a model raises on purpose."""


class InputRefused(ModelError, ValueError):
    """An example whose length, features or label a model must not see; the model is unchanged."""


class SnapshotError(ModelError):
    """Bytes from which no model can be made; the message says the way out."""


class SnapshotTruncated(SnapshotError):
    """The bytes end early, or go on after their end."""


class SnapshotDamaged(SnapshotError):
    """The bytes are not those that were written."""


class SnapshotNewer(SnapshotError):
    """The bytes were written by a later schema than this program reads."""


class SnapshotForeign(SnapshotError):
    """The bytes are whole, but hold another kind of model or other features."""
