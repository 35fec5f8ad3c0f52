"""Curves of a run that may have gone wrong: medians and limits that NaN, infinity and spikes do not spoil."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def to_segments(step: Array, value: Array) -> list[tuple[Array, Array]]:
    """Cut a curve, steps (N,) and values (N,), where the step falls back, as it does after a rollback."""
    cuts = np.flatnonzero(np.diff(step) <= 0) + 1
    return list(zip(np.split(step, cuts), np.split(value, cuts), strict=True))


def running_median(step: Array, value: Array, half: int, n_points: int = 240) -> tuple[Array, Array]:
    """Return at most `n_points` of a curve (N,), each the median of the finite values within `half` of it.

    NaN where none of them is finite.
    """
    centres = np.unique(np.linspace(0, len(step) - 1, min(n_points, len(step))).round().astype(int))
    windows = [value[max(0, i - half) : i + half + 1] for i in centres]
    finite = [window[np.isfinite(window)] for window in windows]
    return step[centres], np.array([np.median(window) if window.size else np.nan for window in finite])


def limits(values: Array, trim: float = 0.01) -> tuple[float, float] | None:
    """Return the interval to draw values (N,) on: all of them, unless their outer `trim` on a side lies far out.

    None where there are not two different finite values.

    >>> limits(np.array([np.nan, 1.0]))
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.min() == finite.max():
        return None
    low, high = np.quantile(finite, (trim, 1 - trim))
    room = 0.4 * (high - low) if high > low else np.inf
    low, high = max(low - room, finite.min()), min(high + room, finite.max())
    margin = 0.06 * (high - low)
    return float(low - margin), float(high + margin)
