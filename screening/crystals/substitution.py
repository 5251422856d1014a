"""Ionic substitution: the species of a space put on the sites of known parents.

Sites that belong together (all of one element, or one symmetry-equivalent orbit of it) take one species. How
likely a substitution is comes from pymatgen's table of ions that replace each other in known crystals
(Hautier et al. 2011, doi 10.1021/ic102031h).
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Element, Species, Structure
from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability

from softlyte.screening.crystals.ordering import charge_of
from softlyte.screening.crystals.parents import Parent
from softlyte.screening.space import Space

THRESHOLD = 3e-3
"""Least likelihood of a substitution, relative to leaving every ion as it is, each ion counted once."""
PER_FORMULA = 3
"""Likeliest different structures of one composition that are kept."""
MOST_ORBITS = 4
"""Orbits of one element that are also filled one by one; more give as many versions of one thing."""
CLOSEST = 0.6
"""Shortest distance over the sum of the ionic radii, below which two ions cannot be neighbours."""
HALOGENS = frozenset({"F", "Cl", "Br", "I"})


@dataclass(frozen=True)
class Palette:
    """Species that may be put on sites.

    Attributes:
        mobile, cations, anions: with oxidation states.
    """

    mobile: tuple[Species, ...]
    cations: tuple[Species, ...]
    anions: tuple[Species, ...]

    @classmethod
    def of_space(cls, space: Space) -> Palette:
        """Return the species that a space declares, without the elements that its policies exclude."""
        excluded = {exclusion.element for exclusion in space.excluded}

        def declared(table: Mapping[str, Sequence[int]]) -> tuple[Species, ...]:
            return tuple(
                Species(symbol, charge)
                for symbol, charges in table.items()
                if symbol not in excluded
                for charge in charges
            )

        spec = space.spec
        return cls(declared(spec.mobile_ions), declared(spec.cations), declared(spec.anions))

    def only(self, elements: Iterable[str]) -> Palette:
        """Return the palette without other elements than these."""
        wanted = set(elements)

        def kept(species: tuple[Species, ...]) -> tuple[Species, ...]:
            return tuple(s for s in species if s.symbol in wanted)

        return Palette(kept(self.mobile), kept(self.cations), kept(self.anions))


class Group(NamedTuple):
    """Sites that take one species together.

    Attributes:
        old: species there in the parent.
        sites: their indices.
        split_from: position of the group that holds the rest of the element's sites; -1 if this is it.
    """

    old: Species
    sites: tuple[int, ...]
    split_from: int


@dataclass(frozen=True)
class Crystal:
    """A substituted crystal.

    Attributes:
        name: formula and number, unique among the results.
        formula: reduced.
        parent: name of the parent.
        likelihood: of the substitution, see THRESHOLD.
        structure: ordered, volume scaled, without oxidation states.
    """

    name: str
    formula: str
    parent: str
    likelihood: float
    structure: Structure


def patterns(parent: Parent) -> Iterator[tuple[Group, ...]]:
    """Yield the ways to group a parent's sites: by element, and with one orbit of an element apart.

    Orbits of cations go apart only where the parent has one cation element: it gets its mobile ions so.
    """
    orbits: dict[Species, list[tuple[int, ...]]] = defaultdict(list)
    for orbit in parent.orbits:
        orbits[parent.species_of(orbit)].append(orbit)
    whole = [Group(s, tuple(i for o in found for i in o), -1) for s, found in orbits.items()]
    yield tuple(whole)
    one_cation = sum(charge_of(species) > 0 for species in orbits) == 1
    for number, (species, found) in enumerate(orbits.items()):
        if not 2 <= len(found) <= MOST_ORBITS or (charge_of(species) > 0 and not one_cation):
            continue
        for apart in found:
            rest = tuple(i for o in found if o is not apart for i in o)
            yield (
                *whole[:number],
                Group(species, rest, -1),
                *whole[number + 1 :],
                Group(species, apart, number),
            )


def assignments(
    groups: Sequence[Group], palette: Palette, threshold: float = THRESHOLD, electrolyte: bool = True
) -> Iterator[tuple[tuple[Species, ...], float]]:
    """Yield neutral fillings of the groups that hold a mobile ion and a halide, with their likelihood.

    Cation sites take mobile ions and cations, anion sites anions. The likelihood is the product over the
    groups, a split element's counting once by its sites. Without `electrolyte` any neutral salt will do.
    """
    sizes = [len(group.sites) for group in groups]
    total = Counter[Species]()
    for group, size in zip(groups, sizes, strict=True):
        total[group.old] += size
    options: list[list[tuple[Species, float]]] = []
    for group, size in zip(groups, sizes, strict=True):
        pool = palette.anions if charge_of(group.old) < 0 else (*palette.mobile, *palette.cations)
        weighed = ((s, relative_likelihood(s, group.old) ** (size / total[group.old])) for s in pool)
        options.append([(s, p) for s, p in weighed if p >= threshold])
    for filling, likelihood in _fillings(groups, sizes, options, threshold, (), 1.0, 0.0):
        halide = any(s.symbol in HALOGENS for s in filling)
        if not electrolyte or (halide and any(s in palette.mobile for s in filling)):
            yield filling, likelihood


def _fillings(
    groups: Sequence[Group],
    sizes: Sequence[int],
    options: Sequence[Sequence[tuple[Species, float]]],
    threshold: float,
    chosen: tuple[Species, ...],
    likelihood: float,
    charge: float,
) -> Iterator[tuple[tuple[Species, ...], float]]:
    """Yield the ways to go on from the groups that are filled, most of which end early."""
    place = len(chosen)
    if place == len(groups):
        yield chosen, likelihood
        return
    last = place == len(groups) - 1
    apart = groups[place].split_from
    for species, share in options[place]:
        reached = likelihood * share
        sum_so_far = charge + charge_of(species) * sizes[place]
        if reached < threshold or (last and sum_so_far != 0) or (apart >= 0 and chosen[apart] == species):
            continue
        yield from _fillings(groups, sizes, options, threshold, (*chosen, species), reached, sum_so_far)


@lru_cache(maxsize=1)
def _table() -> SubstitutionProbability:
    return SubstitutionProbability()


@cache
def relative_likelihood(new: Species, old: Species) -> float:
    """Return P(new | old) over P(old | old), at most 1, from pymatgen's table."""
    if new == old:
        return 1.0
    table = _table()
    if not table.get_px(old):  # an ion that the table does not know
        return 0.0
    return float(min(table.cond_prob(new, old) / table.cond_prob(old, old), 1.0))


def fill(parent: Parent, groups: Sequence[Group], species: Sequence[Species]) -> Structure:
    """Return the parent with other species on its sites, volume scaled by the change of the bond lengths.

    The lattice grows as the sum of the ionic radii, averaged over each cation's bonds in the parent.
    """
    new: list[Species] = [None] * len(parent.structure)  # type: ignore[list-item]
    for group, filled in zip(groups, species, strict=True):
        for index in group.sites:
            new[index] = filled
    structure = parent.structure
    before = after = 0.0
    for cation, anion, share in parent.bonds:
        before += share * (_radius(structure[cation].specie) + _radius(structure[anion].specie))
        after += share * (_radius(new[cation]) + _radius(new[anion]))
    factor = (after / before) ** 3 if before else 1.0
    lattice = structure.lattice.scale(structure.volume * factor)
    return Structure(lattice, [s.symbol for s in new], structure.frac_coords)


@cache
def _radius(species: Species) -> float:
    """Return an ion's radius in angstrom: Shannon's for the state, else the element's mean for its sign."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a spin state that pymatgen chooses, or of a missing radius
        radius = species.ionic_radius
    if radius is None:
        element = Element(species.symbol)
        radius = element.average_anionic_radius if charge_of(species) < 0 else element.average_cationic_radius
    return float(radius) or 0.5


def too_close(structure: Structure, states: dict[str, float]) -> bool:
    """Tell whether two ions are nearer than CLOSEST times the sum of their radii."""
    radii = np.array([_radius(Species(site.specie.symbol, states[site.specie.symbol])) for site in structure])
    first, second, _, distance = structure.get_neighbor_list(2.0 * CLOSEST * float(radii.max()))
    return bool((distance < CLOSEST * (radii[first] + radii[second])).any())


@dataclass(frozen=True)
class Substituted:
    """Substituted crystals and what was left out.

    Attributes:
        crystals: without duplicates; by formula, then by likelihood.
        left_out: counts by reason.
    """

    crystals: tuple[Crystal, ...]
    left_out: Counter[str]


class _Choice(NamedTuple):
    likelihood: float
    parent: Parent
    groups: tuple[Group, ...]
    species: tuple[Species, ...]


def substitute(
    parents: Sequence[Parent],
    palette: Palette,
    threshold: float = THRESHOLD,
    per_formula: int | None = PER_FORMULA,
    formula: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    electrolyte: bool = True,
) -> Substituted:
    """Return the crystals that substitution in the parents gives, in an order that is always the same.

    Args:
        parents: to put species into.
        palette: the species.
        threshold: least likelihood.
        per_formula: likeliest different structures of each composition to keep; None for all.
        formula: only crystals of this composition; None for all.
        progress: called with a name, done and total.
        electrolyte: only crystals with a mobile ion and a halide.
    """
    choices = _choices(parents, palette, threshold, formula, electrolyte)
    left_out = Counter[str]()
    crystals: list[Crystal] = []
    for number, (reduced, found) in enumerate(sorted(choices.items())):
        crystals += _distinct(reduced, found, per_formula, left_out)
        if progress is not None:
            progress("crystals", number + 1, len(choices))
    return Substituted(tuple(crystals), left_out)


def _choices(
    parents: Sequence[Parent], palette: Palette, threshold: float, formula: str | None, electrolyte: bool
) -> dict[str, list[_Choice]]:
    """Return every filling of every parent by reduced formula, likeliest first."""
    wanted = None if formula is None else Composition(formula).reduced_formula
    choices: dict[str, list[_Choice]] = defaultdict(list)
    for parent in parents:
        for groups in patterns(parent):
            for species, likelihood in assignments(groups, palette, threshold, electrolyte):
                amounts: dict[str, float] = defaultdict(float)
                for group, filled in zip(groups, species, strict=True):
                    amounts[filled.symbol] += len(group.sites)
                reduced = Composition(amounts).reduced_formula
                if wanted is None or reduced == wanted:
                    choices[reduced].append(_Choice(likelihood, parent, groups, species))
    for found in choices.values():
        found.sort(key=lambda choice: -choice.likelihood)
    return choices


def _distinct(
    formula: str, choices: Sequence[_Choice], most: int | None, left_out: Counter[str]
) -> list[Crystal]:
    """Return the likeliest structures of one composition that differ and are possible; count the others."""
    matcher = StructureMatcher(attempt_supercell=False)
    kept: list[Crystal] = []
    for number, choice in enumerate(choices):
        if most is not None and len(kept) >= most:
            left_out[f"more than {most} of one composition"] += len(choices) - number
            break
        structure = fill(choice.parent, choice.groups, choice.species)
        if too_close(structure, {s.symbol: charge_of(s) for s in choice.species}):
            left_out["two ions too close"] += 1
        elif any(matcher.fit(structure, other.structure) for other in kept):
            left_out["same structure as another"] += 1
        else:
            name = f"{formula}-{len(kept) + 1}"
            kept.append(Crystal(name, formula, choice.parent.name, choice.likelihood, structure))
    return kept
