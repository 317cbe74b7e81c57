"""What other rules would have done on a log, with the engine that runs live.

A *variant* is one set of rules; each is a replay of the same log of its own (`job`), in processes beside each other
(`crew`). Of each variant only what is compared is kept (`tally`): who was raised first when and why, all raises as
numbers, messages per day. What became of the customers afterwards does not depend on rules and is gathered once
(`past`); `judgement` puts the two together, `comparison` sets variants side by side, `page` draws them.
"""

from __future__ import annotations
