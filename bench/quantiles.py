"""Percentiles, of values and of the difference between two readings of a Prometheus histogram."""

import math
import re
from collections.abc import Mapping, Sequence

_BUCKET = re.compile(r'^(\w+)_bucket\{(?:.*,)?le="([^"]+)"\} (\S+)')


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile, which is always a measured value; None without values."""
    if not values:
        return None
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def buckets(text: str, name: str) -> dict[float, float]:
    """Return the cumulative buckets of one histogram without other labels, by upper bound; empty if missing."""
    found = (match for line in text.splitlines() if (match := _BUCKET.match(line)) is not None)
    return {float(match[2]): float(match[3]) for match in found if match[1] == name}


def percentile_bound(before: Mapping[float, float], after: Mapping[float, float], share: float) -> float | None:
    """Return the upper bound of the percentile's bucket in the difference of two readings."""
    new = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = max(new.values(), default=0.0)
    if not total:
        return None
    return next(bound for bound, count in new.items() if count >= share * total)
