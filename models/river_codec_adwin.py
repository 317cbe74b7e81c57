"""The state of River's compiled ADWIN as bytes, and the check that makes it safe to hand them back.

River's `AdaptiveWindowing` gives its state as bytes and believes whatever it is given: a wrong index ends the process
at some later update. So the bytes are read here first. All numbers are little end first:

    delta f64, clock u32, max_buckets u64, min_window f64, grace f64,
    total f64, variance f64, width f64, longer_width f64, four counters u32,
    rows u64, then per row (buckets of 2**row values): max_buckets u64, filled u64,
        n u64 and n totals f64, n u64 and n variances f64        (n = max_buckets + 1)
    delta f64, clock u32, max_buckets u64, min_window u32, grace u32
"""

from __future__ import annotations

import math
import struct
from typing import Final

__all__ = ["check_window"]

_HEAD: Final = struct.Struct("<dIQdd4d4I")
_TAIL: Final = struct.Struct("<dIQII")
_COUNT: Final = struct.Struct("<Q")
_MAX_BUCKETS: Final = 64
_MAX_ROWS: Final = 48  # 2**48 values do not come, and the width, a float, counts them exactly


def check_window(data: bytes, parameters: tuple[float, int, int, int, int]) -> None:
    """Refuse a state that no ADWIN can have come to.

    Parameters
    ----------
    data
        What `AdaptiveWindowing.__getstate__` gave, or who knows what.
    parameters
        delta, clock, max_buckets, min_window_length and grace_period.

    Raises
    ------
    ValueError
        If the bytes are anything but the state of a window with these parameters.
    """
    delta, clock, max_buckets, min_window, grace = parameters
    if not (0.0 < delta < 1.0 and 1 <= clock < 2**31 and 1 <= max_buckets <= _MAX_BUCKETS):
        raise ValueError(f"ADWIN: no window has the parameters {parameters!r}")
    if not (1 <= min_window < 2**31 and 0 <= grace < 2**31):
        raise ValueError(f"ADWIN: no window has the parameters {parameters!r}")
    head_size, row_size = _HEAD.size + _COUNT.size, 4 * _COUNT.size + 16 * (max_buckets + 1)
    rows, rest = divmod(len(data) - head_size - _TAIL.size, row_size)
    if rest or not 1 <= rows <= _MAX_ROWS:
        raise ValueError(f"ADWIN: no window is {len(data)} bytes long")
    head = _HEAD.unpack_from(data)
    if head[:5] != parameters or _TAIL.unpack_from(data, len(data) - _TAIL.size) != parameters:
        raise ValueError("ADWIN: the parameters differ from those of the window")
    if not all(map(math.isfinite, head[5:9])) or _COUNT.unpack_from(data, _HEAD.size) != (rows,):
        raise ValueError("ADWIN: the sums of the window are not numbers")
    filled = [_filled(data, head_size + row * row_size, max_buckets) for row in range(rows)]
    # Rows are dropped as they empty from the end, where the oldest values are.
    if (rows > 1 and not filled[-1]) or head[7] != sum(n << row for row, n in enumerate(filled)):
        raise ValueError("ADWIN: the buckets do not add up to the width")


def _filled(data: bytes, start: int, max_buckets: int) -> int:
    """Buckets in use of the row that begins at `start`."""
    kept, filled, n = struct.unpack_from("<3Q", data, start)
    totals = struct.unpack_from(f"<{max_buckets + 1}d", data, start + 24)
    second = start + 24 + 8 * (max_buckets + 1)
    (again,) = _COUNT.unpack_from(data, second)
    spreads = struct.unpack_from(f"<{max_buckets + 1}d", data, second + 8)
    if kept != max_buckets or filled > max_buckets or n != max_buckets + 1 or again != n:
        raise ValueError("ADWIN: a row of buckets is longer or shorter than it says")
    if not all(map(math.isfinite, (*totals, *spreads))):
        raise ValueError("ADWIN: a bucket holds no number")
    return int(filled)
