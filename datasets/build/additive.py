"""Additive atomic volumes: a yardstick that shows volumes and densities which cannot be right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions, symbols


def additive_volume(compositions: Compositions, volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sum of x_i v_i in cubic angstrom per atom, [N].

    The v_i are fitted to the volumes (cubic angstrom per atom, [N], NaN ignored) by least squares, once
    over all rows and once more without rows that lie 25% off.
    """
    fractions = np.zeros((len(compositions), len(symbols())))
    numbers = compositions.atomic_numbers.astype(np.int64)
    np.put_along_axis(fractions, numbers, compositions.fractions(), axis=1)
    fractions[:, 0] = 0.0
    known = np.isfinite(volume)
    design = fractions[:, fractions[known].any(axis=0)]
    fit = np.linalg.lstsq(design[known], volume[known], rcond=None)[0]
    good = known & (np.abs(volume - design @ fit) < 0.25 * volume)
    fit = np.linalg.lstsq(design[good], volume[good], rcond=None)[0]
    # Rounded, so that another BLAS cannot move a row across a threshold.
    return np.round(np.maximum(design @ fit, 1.0), 6).astype(np.float64)
