"""Candidates of a space, in numpy from beginning to end.

Candidates are planned by chemical system (the set of elements). Two compositions can be equal only
within one system, so duplicates are removed there, by comparing whole-number amounts: exact, without
hashes, and without keeping rows. Systems whose families put the same templates on the same places share
one table of rows; a candidate is (system, row of its table). The total is known before the first row is
laid out, any range of rows can be laid out alone, and memory holds the tables and one chunk.

Order: systems ascending by atomic numbers, compositions ascending by amounts, crystal before glass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import Compositions
from softlyte.screening.families import classify_family, mobile_ion_of
from softlyte.screening.glass_forming import anion_sublattice, former_table, is_plausible_glass
from softlyte.screening.patterns import written_divisor
from softlyte.screening.space import Space
from softlyte.screening.species import FRAMEWORK, MOBILE

_CRYSTAL, _GLASS = PHASES.index("crystal"), PHASES.index("glass")

_FORMER = 8
"""Added to the role of a framework cation that is a glass former in its system."""

_ABSENT = 255
"""Role of padding."""


@dataclass(frozen=True)
class CandidateChunk:
    """Candidates as parallel arrays of N rows; a composition takes a row for each phase.

    Attributes:
        compositions: N compositions.
        phase: [N] uint8, index into `columns.PHASES`.
        mobile_ion: [N] uint8, index into `families.MOBILE_IONS`: 0 Li, 1 Na.
        family: [N] uint8, index into `families.FAMILIES`.
        provenance: [N] int32, index into `Space.provenance`.
    """

    compositions: Compositions
    phase: NDArray[np.uint8]
    mobile_ion: NDArray[np.uint8]
    family: NDArray[np.uint8]
    provenance: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.phase)


@dataclass(frozen=True)
class CandidatePlan:
    """All candidates of a space without laying them out.

    Attributes:
        systems: [C, W] uint8 atomic numbers of each chemical system, ascending, 0 where padded.
        first_row: [C + 1] int64 row at which each system's candidates begin; the last is the total.
        table_start: [C] int64 row of the tables at which the system's rows begin.
        amounts: [R, W] smallest whole-number amounts, in the order of the system's elements, in the narrowest
            unsigned type that holds them.
        divisor: [R] whole number by which the amounts are divided when they are written.
        phase: [R] uint8.
        provenance: [R] int32 index into `Space.provenance`, or -1 where the element choice decides.
        source: [R] int16 which of the system's patterns the row came from, for the latter case.
        system_provenance: [C, K] int32 provenance by system and pattern.
        pattern: [R] int32 index into `Space.patterns` of the first that reaches the row.
        origin_counts: candidates by family and mixture, in the order of the file; a composition counts
            for the first that reaches it.
    """

    systems: NDArray[np.uint8]
    first_row: NDArray[np.int64]
    table_start: NDArray[np.int64]
    amounts: NDArray[np.unsignedinteger]
    divisor: NDArray[np.unsignedinteger]
    phase: NDArray[np.uint8]
    provenance: NDArray[np.int32]
    source: NDArray[np.int16]
    system_provenance: NDArray[np.int32]
    pattern: NDArray[np.int32]
    origin_counts: dict[str, int]

    def __len__(self) -> int:
        return int(self.first_row[-1])

    def rows(self, start: int, stop: int) -> CandidateChunk:
        """Lay out candidates start..stop (stop excluded), the same whatever the chunks before."""
        return self.at(np.arange(max(start, 0), min(stop, len(self))))

    def at(self, row: NDArray[np.int64]) -> CandidateChunk:
        """Lay out the candidates at N places of the order, [N], each from 0 to the plan's length less one."""
        compositions, phase = self.chosen(row)
        system, place = self._places(row)
        decided = self.provenance[place]
        provenance = np.where(decided >= 0, decided, self.system_provenance[system, self.source[place]])
        return CandidateChunk(
            compositions,
            phase,
            mobile_ion_of(compositions),
            classify_family(compositions),
            provenance.astype(np.int32),
        )

    def find(self, compositions: Compositions) -> NDArray[np.int64]:
        """Return the place of each composition's first candidate (its crystal), [N], -1 where there is none.

        Args:
            compositions: N compositions; the written amounts need not be those of the plan.
        """
        found = np.full(len(compositions), -1, dtype=np.int64)
        width = self.systems.shape[1]
        index = {system.tobytes(): number for number, system in enumerate(self.systems)}
        keys = compositions.keys()
        for row, numbers in enumerate(compositions.atomic_numbers):
            present = numbers[numbers > 0]
            system = index.get(np.pad(present, (0, max(width - len(present), 0))).tobytes())
            if system is not None:
                places = np.arange(self.first_row[system], self.first_row[system + 1])
                same = np.flatnonzero(self.chosen(places)[0].keys() == keys[row])
                found[row] = places[same[0]] if len(same) else -1
        return found

    def chosen(self, row: NDArray[np.int64]) -> tuple[Compositions, NDArray[np.uint8]]:
        """Return composition and phase of the candidates at N places, all that a screening needs of them."""
        system, place = self._places(row)
        written = self.amounts[place].astype(np.float64) / self.divisor[place][:, None]
        return Compositions(self.systems[system], written), self.phase[place]

    def _places(self, row: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the system of each candidate, and its place in the tables, [N] each."""
        system = np.searchsorted(self.first_row, row, side="right") - 1
        return system, self.table_start[system] + row - self.first_row[system]

    def chunks(self, chunk_size: int = 200_000, start: int = 0) -> Iterator[CandidateChunk]:
        """Yield candidates from row `start` on, `chunk_size` at a time (the last chunk may be shorter)."""
        if chunk_size < 1:
            raise ValueError(f"the chunk size {chunk_size} is below 1; give a positive number of rows")
        for begin in range(start, len(self), chunk_size):
            yield self.rows(begin, begin + chunk_size)


def enumerate_candidates(space: Space, chunk_size: int = 200_000, start: int = 0) -> Iterator[CandidateChunk]:
    """Yield every candidate of a space once, in an order that depends on the space file alone.

    Args:
        space: a loaded space.
        chunk_size: rows in each chunk; bounds the memory, does not change the rows.
        start: row to begin with, to go on where an earlier run stopped.
    """
    yield from plan_candidates(space).chunks(chunk_size, start)


def plan_candidates(space: Space) -> CandidatePlan:
    """Return the plan of a space's candidates; its length is their exact number."""
    use = _pattern_uses(space)
    systems, member = np.unique(use.elements, axis=0, return_inverse=True)
    member = member.ravel()
    roles = _roles(space, systems, use, member)

    # The uses of each system, ascending by variant and so by place in the file.
    order = np.lexsort((use.variant, member))
    position = np.arange(len(order)) - np.searchsorted(member[order], member[order])
    width = int(position.max()) + 1
    variants = np.full((len(systems), width), -1, dtype=np.int64)
    variants[member[order], position] = use.variant[order]
    system_provenance = np.full((len(systems), width), -1, dtype=np.int32)
    system_provenance[member[order], position] = use.provenance[order]

    # Systems with the same variants on the same roles have the same rows.
    signature = np.column_stack([variants, roles])
    kinds, kind = np.unique(signature, axis=0, return_inverse=True)
    tables = [
        _table(space, use.variants, kind_row[:width], kind_row[width:].astype(np.uint8)) for kind_row in kinds
    ]
    starts = np.concatenate([[0], np.cumsum([len(t.phase) for t in tables])])
    counts = np.diff(starts)[kind.ravel()]
    by_pattern = np.zeros(len(space.patterns), dtype=np.int64)
    for table, systems_of_kind in zip(tables, np.bincount(kind.ravel()), strict=True):
        by_pattern += systems_of_kind * np.bincount(table.pattern, minlength=len(by_pattern))
    origin_counts: dict[str, int] = {}
    for pattern, count in zip(space.patterns, by_pattern.tolist(), strict=True):
        origin_counts[pattern.origin] = origin_counts.get(pattern.origin, 0) + count
    return CandidatePlan(
        systems=systems,
        first_row=np.concatenate([[0], np.cumsum(counts)]),
        table_start=starts[kind.ravel()],
        amounts=np.concatenate([t.amounts for t in tables]),
        divisor=np.concatenate([t.divisor for t in tables]),
        phase=np.concatenate([t.phase for t in tables]),
        provenance=np.concatenate([t.provenance for t in tables]),
        source=np.concatenate([t.source for t in tables]),
        system_provenance=system_provenance,
        pattern=np.concatenate([t.pattern for t in tables]),
        origin_counts=origin_counts,
    )


@dataclass(frozen=True)
class _Uses:
    """Every element choice of every pattern, U rows.

    `elements` [U, W] are sorted and padded; `variant` [U] numbers (pattern, order of its slots once sorted),
    explained by `variants`; `provenance` [U] is that of the element choice.
    """

    elements: NDArray[np.uint8]
    variant: NDArray[np.int64]
    provenance: NDArray[np.int32]
    variants: list[tuple[int, NDArray[np.int64]]]


def _pattern_uses(space: Space) -> _Uses:
    width = max(pattern.elements.shape[1] for pattern in space.patterns)
    elements, variant, provenance = [], [], []
    variants: list[tuple[int, NDArray[np.int64]]] = []
    for number, pattern in enumerate(space.patterns):
        slots = np.argsort(pattern.elements, axis=1)
        ascending = np.take_along_axis(pattern.elements, slots, axis=1)
        elements.append(np.pad(ascending, ((0, 0), (0, width - ascending.shape[1]))))
        orders, code = np.unique(slots, axis=0, return_inverse=True)
        variant.append(len(variants) + code.ravel())
        variants += [(number, order) for order in orders]
        provenance.append(pattern.element_provenance)
    return _Uses(np.concatenate(elements), np.concatenate(variant), np.concatenate(provenance), variants)


def _roles(space: Space, systems: NDArray, use: _Uses, member: NDArray) -> NDArray[np.uint8]:
    """Return the role of each element in its system, [C, W]; it is the same in every pattern."""
    roles = np.full(systems.shape, _ABSENT, dtype=np.uint8)
    by_variant = np.full((len(use.variants), systems.shape[1]), _ABSENT, dtype=np.uint8)
    for row, (number, slots) in enumerate(use.variants):
        by_variant[row, : len(slots)] = np.array(space.patterns[number].roles)[slots]
    roles[member] = by_variant[use.variant]
    formers = former_table(space.spec.glass)[anion_sublattice(systems)[:, None], systems]
    return np.where((roles == FRAMEWORK) & formers, roles + _FORMER, roles).astype(np.uint8)


@dataclass(frozen=True)
class _Table:
    """Rows of one kind of system, as in CandidatePlan."""

    amounts: NDArray[np.unsignedinteger]
    divisor: NDArray[np.unsignedinteger]
    phase: NDArray[np.uint8]
    provenance: NDArray[np.int32]
    source: NDArray[np.int16]
    pattern: NDArray[np.int32]


def _table(
    space: Space,
    variants: list[tuple[int, NDArray[np.int64]]],
    used: NDArray[np.int64],
    roles: NDArray[np.uint8],
) -> _Table:
    """Return the rows of one kind of system: distinct compositions, each in its phases."""
    present = roles != _ABSENT
    numbers = np.array([variants[variant][0] for variant in used[used >= 0]], dtype=np.int32)
    amounts, provenance, source = [], [], []
    for position, variant in enumerate(used[used >= 0]):
        number, slots = variants[variant]
        pattern = space.patterns[number]
        amounts.append(pattern.templates[:, slots])
        provenance.append(pattern.template_provenance)
        source.append(np.full(len(pattern.templates), position, dtype=np.int16))
    # np.unique returns the first row of each composition: the earliest family or mixture of the file.
    whole, first = np.unique(np.concatenate(amounts), axis=0, return_index=True)
    kinds = roles[present]
    glass = is_plausible_glass(
        space.spec.glass,
        former=whole[:, kinds == FRAMEWORK + _FORMER].sum(axis=1),
        framework=whole[:, kinds % _FORMER == FRAMEWORK].sum(axis=1),
        mobile=whole[:, kinds == MOBILE].sum(axis=1),
    )
    divisor = written_divisor(whole, (kinds % _FORMER).tolist())
    row = np.repeat(np.arange(len(whole)), 1 + glass)
    second = np.concatenate([[False], row[1:] == row[:-1]])
    return _Table(
        _narrow(np.pad(whole, ((0, 0), (0, len(roles) - whole.shape[1]))))[row],
        _narrow(divisor)[row],
        np.where(second, _GLASS, _CRYSTAL).astype(np.uint8),
        np.concatenate(provenance)[first][row],
        np.concatenate(source)[first][row],
        numbers[np.concatenate(source)[first][row]],
    )


def _narrow(whole: NDArray[np.int64]) -> NDArray[np.unsignedinteger]:
    """Return non-negative numbers in the narrowest unsigned type that holds them."""
    narrow: NDArray[np.unsignedinteger] = whole.astype(np.min_scalar_type(int(whole.max(initial=0))))
    return narrow
