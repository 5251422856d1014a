"""What a space holds: exact counts and examples, from its plan alone.

Nothing is laid out but the examples, so a space of billions is described as fast as it is planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import Compositions, symbols
from softlyte.screening.element_policy import Exclusion
from softlyte.screening.enumerate import CandidatePlan, plan_candidates
from softlyte.screening.space import Space, load_space

EXAMPLES = 3
"""Examples of each family."""


@dataclass(frozen=True)
class OriginCount:
    """One family, mixture or substitution series.

    Attributes:
        origin: such as "family A_a M X_x".
        candidates: compositions x phases; a composition counts for the first origin that reaches it.
        examples: formulas, evenly spread over the origin's stoichiometries.
    """

    origin: str
    candidates: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class SpaceDescription:
    """What a space holds.

    Attributes:
        name, source, description: of the space file.
        candidates: distinct candidates; a composition has one for each of its phases.
        compositions: distinct reduced compositions, which are the crystals.
        glasses: compositions that are plausible as a glass too.
        chemical_systems: distinct sets of elements.
        before_deduplication: compositions times families that reach them, in the two phases: what would be
            laid out without looking for duplicates, an upper bound.
        by_origin: in the order of the file.
        by_mobile_ion: candidates by mobile ions, such as "Li".
        by_anions: candidates by anions, such as "Cl-O", most first.
        excluded: declared elements that policies leave out.
        out_of_order: declared cation and anion that never meet (`Space.out_of_order`).
    """

    name: str
    source: str
    description: str
    candidates: int
    compositions: int
    glasses: int
    chemical_systems: int
    before_deduplication: int
    by_origin: tuple[OriginCount, ...]
    by_mobile_ion: dict[str, int]
    by_anions: dict[str, int]
    excluded: tuple[Exclusion, ...]
    out_of_order: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return asdict(self)


def describe_space(space: Space | Path | str | None = None, examples: int = EXAMPLES) -> SpaceDescription:
    """Count a space exactly, without laying it out, and pick examples.

    Args:
        space: a loaded space, a TOML file, or a shipped space's name; None for the default.
        examples: formulas to show of each family.

    Raises:
        SpaceError: the file cannot be used.
    """
    loaded = space if isinstance(space, Space) else load_space(space)
    plan = plan_candidates(loaded)
    sizes = np.diff(plan.first_row)
    glass = np.concatenate([[0], np.cumsum(plan.phase == PHASES.index("glass"))])
    glasses = int((glass[plan.table_start + sizes] - glass[plan.table_start]).sum())
    return SpaceDescription(
        name=loaded.name,
        source=loaded.source,
        description=loaded.spec.description,
        candidates=len(plan),
        compositions=len(plan) - glasses,
        glasses=glasses,
        chemical_systems=len(plan.systems),
        before_deduplication=loaded.count_upper_bound(),
        by_origin=tuple(
            OriginCount(origin, count, tuple(_examples(loaded, plan, origin, examples)))
            for origin, count in plan.origin_counts.items()
        ),
        by_mobile_ion=_by_elements(plan, sizes, tuple(loaded.spec.mobile_ions)),
        by_anions=_by_elements(plan, sizes, tuple(loaded.spec.anions)),
        excluded=loaded.excluded,
        out_of_order=loaded.out_of_order,
    )


def _by_elements(plan: CandidatePlan, sizes: NDArray[np.int64], elements: Sequence[str]) -> dict[str, int]:
    """Return candidates by which of some elements they hold, most first."""
    held = np.stack([(plan.systems == symbols().index(e)).any(axis=1) for e in elements], axis=1)
    kinds, kind = np.unique(held, axis=0, return_inverse=True)
    counts = np.bincount(kind.ravel(), weights=sizes).astype(np.int64)
    named = {
        "-".join(sorted(e for e, there in zip(elements, row, strict=True) if there)): int(count)
        for row, count in zip(kinds, counts, strict=True)
    }
    return dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))


def _examples(space: Space, plan: CandidatePlan, origin: str, count: int) -> list[str]:
    """Return formulas of one origin, at most `count`."""
    numbers = [number for number, pattern in enumerate(space.patterns) if pattern.origin == origin]
    crystal = plan.phase == PHASES.index("crystal")
    rows = np.flatnonzero(np.isin(plan.pattern, numbers) & crystal)
    if not len(rows) or count < 1:
        return []
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, count + 2).astype(np.int64)[1:-1])]
    starts = np.unique(plan.table_start)
    tables = starts[np.searchsorted(starts, chosen, side="right") - 1]
    places = []
    for turn, (row, start) in enumerate(zip(chosen.tolist(), tables.tolist(), strict=True)):
        systems = np.flatnonzero(plan.table_start == start)
        # Another of the systems with the same stoichiometries each time, so that examples differ in elements.
        system = systems[len(systems) * (turn + 1) // (count + 1)]
        places.append(int(plan.first_row[system]) + row - start)
    return plan.at(np.array(places)).compositions.formulas()


@dataclass(frozen=True)
class Found:
    """Whether a formula is among a space's candidates.

    Attributes:
        formula: in normal form.
        place: of its first candidate in the space's order, -1 if it is not there.
        phases: in which it is a candidate.
        provenance: family, parent or precursors that reach it first; "" if it is not there.
        reason: why it is not there; "" if it is.
    """

    formula: str
    place: int
    phases: tuple[str, ...]
    provenance: str
    reason: str


def find_in_space(space: Space | Path | str | None, formulas: Sequence[str]) -> list[Found]:
    """Look formulas up in a space.

    Args:
        space: a loaded space, a TOML file, or a shipped space's name; None for the default.
        formulas: such as Li3YCl6, in any multiple.

    Raises:
        SpaceError: the file cannot be used.
        FormulaError: a formula cannot be read.
    """
    loaded = space if isinstance(space, Space) else load_space(space)
    wanted, plan = Compositions.from_formulas(formulas), plan_candidates(loaded)
    keys, found = wanted.keys(), []
    for row, place in enumerate(plan.find(wanted).tolist()):
        formula = wanted[row : row + 1].formulas()[0]
        if place < 0:
            found.append(Found(formula, -1, (), "", _absence(loaded, wanted.atomic_numbers[row])))
            continue
        both = plan.rows(place, place + len(PHASES))
        same = both.compositions.keys() == keys[row]
        phases = tuple(PHASES[code] for code in both.phase[same])
        found.append(Found(formula, place, phases, loaded.provenance[both.provenance[0]], ""))
    return found


def _absence(space: Space, numbers: NDArray[np.uint8]) -> str:
    """Return why a composition with these elements is not in a space."""
    declared = {*space.spec.mobile_ions, *space.spec.cations, *space.spec.anions}
    excluded = {exclusion.element: exclusion for exclusion in space.excluded}
    for symbol in (symbols()[z] for z in numbers if z):
        if symbol in excluded:
            return f"{symbol} is left out by the policy {excluded[symbol].policy}: {excluded[symbol].reason}"
        if symbol not in declared:
            return f"{symbol} is not declared"
    return "no family, mixture or substitution reaches it within the limits"
