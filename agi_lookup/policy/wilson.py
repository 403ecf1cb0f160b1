"""How far a share that was counted can be trusted: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212. Pure."""

from __future__ import annotations

from math import sqrt


def wilson(hits: float, trials: float, z: float) -> tuple[float, float]:
    """The lowest and the highest share that `hits` of `trials` are likely to come from; of no trials, anything: (0, 1).

    `z` is how sure that is, in standard deviations: 1.96 for 95 %.
    """
    if trials <= 0:
        return 0.0, 1.0
    hits = min(hits, trials)
    centre = hits + z * z / 2
    spread = z * sqrt(hits * (1 - hits / trials) + z * z / 4)
    return max(0.0, (centre - spread) / (trials + z * z)), min(1.0, (centre + spread) / (trials + z * z))
