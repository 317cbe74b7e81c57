"""How good the churn scores are on a log, beside what one would otherwise use.

The words of this package:

* an *act* is all own activity of a customer at one instant (of one day, where days are compared);
* an *instance* is a score that is judged: a customer, a time, a probability;
* its *label* is 1 if no act follows within the horizon; it is *mature* when that window has passed;
* an *anchor* is a method to compare with, fitted at the start of each *block* of time on what was mature by then.

Needs numpy and scipy, which come with River; gradient boosting needs scikit-learn (the extra `evaluate`).
"""

from __future__ import annotations
