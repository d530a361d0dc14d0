"""Upper quantiles of counts: Poisson, and negative binomial where counts vary more than that.

A count whose rate is itself uncertain (a Gamma of mean 1 and variance ``spread``) is negative
binomial, with the variance m + spread m².
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

LARGE_MEAN = 3000.0
"""From here on the normal distribution stands for it (its quantiles differ by less than 0.5 %)."""
FAR_SD = 12.0
"""Nothing that matters lies further from the mean."""


LEAST_MEAN = 1e-200
"""Under it no count is ever above 0, and what it is divided by makes it none."""


def upper(mean: float, spread: float, quantile: float) -> int:
    """The least k with P(count <= k) >= ``quantile``. Raises ValueError for what is no number."""
    if not (math.isfinite(mean) and mean >= 0 and spread >= 0 and 0 < quantile < 1):
        raise ValueError(f"a count of mean {mean} and spread {spread} has no quantile {quantile}")
    if mean < LEAST_MEAN:
        return 0
    sd = math.sqrt(mean + spread * mean * mean)
    if mean > LARGE_MEAN and spread < 1:
        return math.ceil(mean + NormalDist().inv_cdf(quantile) * sd)
    k = np.arange(1, math.ceil(mean + FAR_SD * sd) + 10)
    if spread < 1e-9:
        first, ratios = -mean, math.log(mean) - np.log(k)
    else:
        shape = 1 / spread
        first = -shape * math.log1p(spread * mean)
        ratios = np.log((k - 1 + shape) / k) + math.log(mean / (mean + shape))
    log_pmf = first + np.concatenate(([0.0], np.cumsum(ratios)))
    pmf = np.exp(log_pmf - log_pmf.max())
    cdf = np.cumsum(pmf) / pmf.sum()
    return int(np.searchsorted(cdf, quantile - 1e-12))
