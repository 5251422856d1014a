"""The convex hull of one chemical system, as a polyhedron of chemical potentials.

The energy of the phases that compete at composition x is the linear programme
`max mu.x  subject to  mu.x_q <= E_q for every phase q`, where mu holds one chemical potential an
element. Its feasible region P is a polyhedron whose corners are the facets of the lower convex hull,
and a phase's electrochemical window is the range of the mobile ion's potential over the points of P
where the phase is in equilibrium. `FacetHull` lists the corners once a system (Qhull), after which a
batch of compositions costs a matrix product; `ProgrammeHull` solves the programmes themselves (HiGHS)
and serves systems of many elements, where the number of corners explodes.

Source of the grand-potential construction: S. P. Ong et al., Chem. Mater. 20, 1798 (2008),
doi:10.1021/cm702327g; of its use for electrolyte windows: Y. Zhu, X. He, Y. Mo, ACS Appl. Mater.
Interfaces 7, 23685 (2015), doi:10.1021/acsami.5b07517.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, linprog
from scipy.spatial import ConvexHull, QhullError

Array = NDArray[np.float64]

EQUILIBRIUM_TOLERANCE = 1e-5
"""eV/atom; a phase counts as in equilibrium at a point of P within this much.

Large against the rounding of a hull in double precision (1e-10), small against the
energies' own noise (a millielectronvolt and more): exact coincidences, as for a mixture of two phases,
are recognised, and no two phases that the data distinguish are merged.
"""

MAX_FACET_ELEMENTS = 7
"""Systems of more elements than this use linear programmes instead of listing corners."""

_FEASIBLE = 1e-7  # eV/atom by which a corner may break a constraint through rounding
_CERTIFIED = 1e-6  # eV/atom between the corner's energy and that of its phases' mixture
_SLIVER = 1e-13  # determinant of a facet's compositions below which its phases are linearly dependent
_VERTICAL = 1e-9  # energy component of a facet's unit normal below which it is a side wall
_BLOCK = 2**22  # numbers in one temporary array


class SystemHull(Protocol):
    """What a chemical system of k elements can be asked.

    Compositions are atomic fractions in the system's element order, each row [k] with no zero.
    """

    def energy(self, x: Array) -> Array:
        """Return the hull's energy at compositions x [n, k], [n] in eV/atom."""
        ...

    def potential_range(self, x: Array, energy: Array, element: int) -> tuple[Array, Array]:
        """Return the least and greatest potential of one element in equilibrium with each phase.

        Args:
            x: [n, k] compositions.
            energy: [n] eV/atom of the phases, not above the hull.
            element: column of x.

        Returns:
            Lower and upper chemical potential, each [n], in eV/atom against the element.
        """
        ...

    def mixture(self, x: Array) -> Array:
        """Return the stable mixture at one composition x [k].

        Returns:
            [Q + k] atomic fraction of each phase, then of each element, summing to 1.
        """
        ...


class ProgrammeHull:
    """A system's hull by linear programmes (HiGHS through scipy).

    Args:
        fractions: [Q, k] atomic fractions of the competing phases; the elements themselves are implied.
        energies: [Q] formation energies in eV/atom.
    """

    def __init__(self, fractions: Array, energies: Array) -> None:
        self.fractions = fractions
        self.energies = energies

    def energy(self, x: Array) -> Array:
        """See `SystemHull.energy`."""
        return np.array([-self._solve(-row).fun for row in x], dtype=np.float64)

    def potential_range(self, x: Array, energy: Array, element: int) -> tuple[Array, Array]:
        """See `SystemHull.potential_range`."""
        direction = np.zeros(self.fractions.shape[1])
        direction[element] = 1.0
        lower = [self._solve(direction, row, e).fun for row, e in zip(x, energy, strict=True)]
        upper = [-self._solve(-direction, row, e).fun for row, e in zip(x, energy, strict=True)]
        return np.array(lower, dtype=np.float64), np.array(upper, dtype=np.float64)

    def potentials(self, x: Array) -> Array:
        """Return chemical potentials in equilibrium at composition x [k], [k] eV/atom."""
        return np.asarray(self._solve(-x).x, dtype=np.float64)

    def mixture(self, x: Array) -> Array:
        """See `SystemHull.mixture`."""
        # The multipliers of the constraints are the amounts of the phases (strong duality).
        result = self._solve(-x)
        return -np.concatenate([result.ineqlin.marginals, result.upper.marginals])

    def _solve(self, objective: Array, x: Array | None = None, energy: float = 0.0) -> OptimizeResult:
        """Minimise objective.mu over P, or over the part of P in equilibrium with phase (x, energy)."""
        matrix, bound = self.fractions, self.energies
        if x is not None:
            # Two inequalities a tolerance apart: an exact equality may miss P by a rounding error.
            matrix = np.vstack([matrix, x, -x])
            bound = np.concatenate([bound, [energy, EQUILIBRIUM_TOLERANCE - energy]])
        result = linprog(objective, A_ub=matrix, b_ub=bound, bounds=(None, 0.0), method="highs")
        if result.status != 0:
            raise ArithmeticError(f"the linear programme over chemical potentials failed: {result.message}")
        return result


class FacetHull:
    """A system's hull as a list of facets (Qhull), each a point of chemical potentials.

    Args:
        fractions: [Q, k] atomic fractions of the competing phases; the elements themselves are implied.
        energies: [Q] formation energies in eV/atom.

    Raises:
        QhullError: the points are too flat for Qhull to be exact.

    Attributes:
        potentials: [F, k] corners of P: the elements' potentials on each facet, eV/atom.
        members: [F, k] the phases of each facet; entry q, or Q + i for element i.
    """

    def __init__(self, fractions: Array, energies: Array) -> None:
        self._take(fractions, energies)
        self.potentials, self.members = self._facets()
        self._solid = self._solid_facets()

    @classmethod
    def from_facets(
        cls, fractions: Array, energies: Array, potentials: Array, members: NDArray[np.int64]
    ) -> FacetHull:
        """Return the hull whose facets (see Attributes) were found before for the same entries."""
        hull = cls.__new__(cls)
        hull._take(fractions, energies)
        hull.potentials, hull.members = potentials, members
        hull._solid = hull._solid_facets()
        return hull

    def _take(self, fractions: Array, energies: Array) -> None:
        k = fractions.shape[1]
        self.programme = ProgrammeHull(fractions, energies)
        self._phases = np.vstack([fractions, np.eye(k)])
        self._energies = np.concatenate([energies, np.zeros(k)])

    def _solid_facets(self) -> NDArray[np.bool_]:
        """Tell which facets' phases are linearly independent, [F]."""
        return np.asarray(np.abs(np.linalg.det(self._phases[self.members])) > _SLIVER)

    def _facets(self) -> tuple[Array, NDArray[np.int64]]:
        k = self._phases.shape[1]
        elements = np.arange(len(self._phases) - k, len(self._phases))
        # Phases above the elements are never corners; without others the elements are the only facet.
        below = np.flatnonzero(self._energies < -_FEASIBLE)
        nothing = np.zeros((1, k)), elements[None, :]
        if not len(below) or k == 1:
            return nothing
        chosen = np.concatenate([below, elements])
        points = np.column_stack([self._phases[chosen, :-1], self._energies[chosen]])
        hull = ConvexHull(points, qhull_options="Qt")
        lower = hull.equations[:, -2] < -_VERTICAL
        members = chosen[hull.simplices[lower]]
        normal, slope, offset = (
            hull.equations[lower, :-2],
            hull.equations[lower, -2, None],
            hull.equations[lower, -1, None],
        )
        potentials = -np.hstack([normal + offset, offset]) / slope
        matrix = self._phases[members]
        solid = np.abs(np.linalg.det(matrix)) > _SLIVER
        # Solving for the phases' energies is more exact than Qhull's plane, unless ill-conditioned.
        solved = potentials.copy()
        solved[solid] = np.linalg.solve(matrix[solid], self._energies[members[solid], None])[..., 0]
        exact = self._feasible(solved)
        potentials[exact] = solved[exact]
        if not self._feasible(potentials).all():
            raise QhullError("a facet of the hull lies above one of the phases")
        return potentials, members

    def _feasible(self, potentials: Array) -> NDArray[np.bool_]:
        """Tell which corners [n, k] break no phase's constraint, [n]."""
        excess = (potentials @ self._phases.T - self._energies).max(axis=1)
        return np.asarray(excess <= _FEASIBLE)

    def energy(self, x: Array) -> Array:
        """See `SystemHull.energy`."""
        out = np.empty(len(x))
        for rows in self._blocks(x):
            value = x[rows] @ self.potentials.T
            best = np.argmax(value, axis=1)
            out[rows] = value[np.arange(len(best)), best]
            for row in np.flatnonzero(~self._contains(best, x[rows])):
                # Ties and slivers: another facet of the same energy may hold the point.
                if self._holder(x[rows][row]) is None:
                    out[rows.start + row] = self.programme.energy(x[rows][row : row + 1])[0]
        return out

    def potential_range(self, x: Array, energy: Array, element: int) -> tuple[Array, Array]:
        """See `SystemHull.potential_range`."""
        lower, upper = np.empty(len(x)), np.empty(len(x))
        mu = self.potentials[:, element]
        for rows in self._blocks(x):
            value = x[rows] @ self.potentials.T
            depth = value - energy[rows, None]
            inside = depth >= -EQUILIBRIUM_TOLERANCE
            lower[rows] = np.where(inside, mu, np.inf).min(axis=1)
            upper[rows] = np.where(inside, mu, -np.inf).max(axis=1)
            for row in np.flatnonzero((depth > EQUILIBRIUM_TOLERANCE).any(axis=1)):
                low, high = self._cut(x[rows][row], depth[row], element)
                lower[rows.start + row], upper[rows.start + row] = low, high
        lost = np.flatnonzero(~np.isfinite(lower))
        lower[lost], upper[lost] = self.programme.potential_range(x[lost], energy[lost], element)
        return lower, upper

    def _cut(self, x: Array, depth: Array, element: int) -> tuple[float, float]:
        """Return the element's range over the cut of P by the plane mu.x = E of a phase below the hull.

        The cut's corners lie where the plane crosses an edge of P. Crossings of all segments from a
        corner above to one below, and of all rays from a corner above towards minus infinity, contain
        them, and P being convex the other crossings lie inside the cut.
        """
        mu = self.potentials[:, element]
        above, below = depth > 0, depth <= 0
        share = depth[above, None] / (depth[above, None] - depth[None, below])
        crossings = mu[above, None] + share * (mu[None, below] - mu[above, None])
        along = mu[above] - depth[above] / x[element]
        # Rays along other elements keep this element's potential.
        kept = mu[above] if len(x) > 1 else along
        found = np.concatenate([crossings.ravel(), along, kept])
        return float(found.min()), float(found.max())

    def mixture(self, x: Array) -> Array:
        """See `SystemHull.mixture`."""
        facet = self._holder(x)
        if facet is None:
            return self.programme.mixture(x)
        out = np.zeros(len(self._phases))
        out[self.members[facet]] = np.linalg.solve(self._phases[self.members[facet]].T, x)
        return np.clip(out, 0.0, None)

    def _contains(self, facets: NDArray[np.int64], x: Array) -> NDArray[np.bool_]:
        """Tell whether each row's facet [n] holds its composition [n, k]: the proof that it is optimal."""
        solid = self._solid[facets]
        out = np.zeros(len(x), dtype=bool)
        matrix = self._phases[self.members[facets[solid]]].transpose(0, 2, 1)
        amounts = np.linalg.solve(matrix, x[solid, :, None])[..., 0]
        out[solid] = (amounts >= -_CERTIFIED).all(axis=1)
        return out

    def _holder(self, x: Array) -> int | None:
        """Return a facet that holds composition x [k] with the hull's energy, None if none is proved."""
        value = self.potentials @ x
        for facet in np.flatnonzero((value >= value.max() - _CERTIFIED) & self._solid):
            if self._contains(np.array([facet]), x[None, :])[0]:
                return int(facet)
        return None

    def _blocks(self, x: Array) -> list[slice]:
        step = max(1, _BLOCK // max(1, len(self.potentials)))
        return [slice(start, start + step) for start in range(0, len(x), step)]


def system_hull(fractions: Array, energies: Array) -> SystemHull:
    """Return the hull of one chemical system by the faster method for its size.

    Args:
        fractions: [Q, k] atomic fractions of the competing phases; the elements themselves are implied.
        energies: [Q] formation energies in eV/atom.
    """
    if fractions.shape[1] > MAX_FACET_ELEMENTS:
        return ProgrammeHull(fractions, energies)
    try:
        return FacetHull(fractions, energies)
    except (QhullError, np.linalg.LinAlgError):
        # The programmes bear nearly flat systems.
        return ProgrammeHull(fractions, energies)
