"""The hull's energy along a straight line of compositions: insertion of an ion, mixing with another phase.

Along `start + t direction` (amounts, not fractions) the energy of the competing phases is the greatest of the
straight lines `mu.start + t mu.direction`, one for each facet mu of the hull: convex and piecewise linear.
Its corners are the compositions at which the equilibrium phases change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlyte.featurize.convex_hull import FacetHull, ProgrammeHull, SystemHull

Array = NDArray[np.float64]

_PARALLEL = 1e-9  # eV; slopes nearer than this are one line
_SHORT = 1e-9  # corners nearer than this along the line are one
_STEPS = 200  # corners that a line can have before something is wrong


@dataclass(frozen=True)
class HullLine:
    """The hull's energy along a line.

    Attributes:
        position: [J] corners, ascending; the first is the line's beginning.
        energy: [J] eV (for the amounts as given, not per atom) at each corner.
        slope: [J] eV per unit of the line, of the piece that begins at each corner; of a finite line the
            last corner is its end and has the slope of the last piece.
    """

    position: Array
    energy: Array
    slope: Array

    def at(self, position: Array | float) -> Array:
        """Return the energy in eV at positions on the line, same shape."""
        piece = np.clip(np.searchsorted(self.position, position, side="right") - 1, 0, None)
        return self.energy[piece] + self.slope[piece] * (np.asarray(position) - self.position[piece])


def hull_line(hull: SystemHull, start: Array, direction: Array, stop: float = np.inf) -> HullLine:
    """Return the hull's energy from `start` to `start + stop * direction`.

    Args:
        hull: of a chemical system of k elements.
        start: [k] amounts, none negative.
        direction: [k] amounts, none negative at the line's end.
        stop: length of the line; infinite for the insertion of an element without end.

    Raises:
        ArithmeticError: the linear programmes of a system without facets fail.
    """
    if isinstance(hull, FacetHull):
        corners, energies, slopes = _envelope(hull.potentials @ start, hull.potentials @ direction, stop)
    elif isinstance(hull, ProgrammeHull):
        corners, energies, slopes = _by_programmes(hull, start, direction, stop)
    else:
        raise TypeError(f"no line through a hull of type {type(hull).__name__}")
    if np.isfinite(stop):
        end = energies[-1] + slopes[-1] * (stop - corners[-1])
        corners, energies, slopes = [*corners, stop], [*energies, end], [*slopes, slopes[-1]]
    return HullLine(np.array(corners), np.array(energies), np.array(slopes))


def _envelope(height: Array, slope: Array, stop: float) -> tuple[list[float], list[float], list[float]]:
    """Walk along the greatest of many straight lines from 0 to stop; [F] heights at 0 and slopes."""
    best = height.max()
    active = int(np.argmax(np.where(height >= best - _SHORT, slope, -np.inf)))
    corners, energies, slopes = [0.0], [float(best)], [float(slope[active])]
    for _ in range(_STEPS):
        steeper = np.flatnonzero(slope > slope[active] + _PARALLEL)
        if not len(steeper):
            break
        meet = (height[active] - height[steeper]) / (slope[steeper] - slope[active])
        position = float(meet.min())
        if position >= stop - _SHORT:
            break
        near = steeper[meet <= position + _SHORT]
        active = int(near[np.argmax(slope[near])])
        if position <= corners[-1] + _SHORT:
            slopes[-1] = float(slope[active])  # a corner within rounding of the last one
            continue
        corners.append(position)
        energies.append(float(height[active] + slope[active] * position))
        slopes.append(float(slope[active]))
    return corners, energies, slopes


def _by_programmes(
    hull: ProgrammeHull, start: Array, direction: Array, stop: float
) -> tuple[list[float], list[float], list[float]]:
    """Find the straight lines that bound the energy by halving between corners, then walk along them."""
    # The ion's own insertion ends where its element precipitates, which it does at some finite amount.
    far = stop if np.isfinite(stop) else 50.0 * float(start.sum() / direction.sum())
    lines: list[tuple[float, float]] = []

    def touch(position: float) -> tuple[float, float]:
        potentials = hull.potentials(start + position * direction)
        return float(potentials @ start), float(potentials @ direction)

    def between(left: tuple[float, float], right: tuple[float, float]) -> None:
        lines.extend([left, right])
        if right[1] - left[1] < 1e-7 or len(lines) > 4 * _STEPS:
            return
        position = (left[0] - right[0]) / (right[1] - left[1])
        middle = touch(position)
        if middle[0] + middle[1] * position > left[0] + left[1] * position + 1e-7:
            between(left, middle)
            between(middle, right)

    # A hair inside both ends, where a composition still holds every element.
    between(touch(1e-6 * far), touch((1 - 1e-6) * far))
    height, slope = np.array(lines).T
    return _envelope(height, slope, stop)
