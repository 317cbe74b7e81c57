"""Learners: what predicts a customer's future from the features of one moment, and learns when the future is known.

The dialect is River's: `predict_proba_one`, `predict_one`, `learn_one`. Two things differ. A feature vector is a
sequence of floats in a fixed order, not a dict, because every example has the same features. And every model can say
why (`contributions`) and can be stored (`snapshot`, `restore`) so that it goes on to the bit.

Nothing here knows time, customers, files or randomness: the caller decides when a label has matured. Errors are those
of `models.errors`; the engine maps them to its own.
"""

from __future__ import annotations
