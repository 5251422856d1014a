"""Time per formula of hull and window in a large batch, beside pymatgen; writes a section of RESULTS.md.

python -m benchmarks.hull_speed
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions, chemical_systems, symbols
from softlyte.datasets.tables import load_card
from softlyte.featurize.hull_cache import HullCache
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.enumerate import enumerate_candidates
from softlyte.screening.families import MOBILE_IONS, mobile_ion_of
from softlyte.screening.space import load_space
from softlyte.screening.stability import stability

EACH = 25
"""Compositions of one chemical system in the batch."""


def candidates(count: int) -> Compositions:
    """Return candidates of the default space: a random choice of chemical systems, EACH of every one."""
    chunks = list(enumerate_candidates(load_space(None)))
    everything = Compositions.concatenate([chunk.compositions for chunk in chunks])
    _, first = np.unique(everything.keys(), return_index=True)
    everything = everything[np.sort(first)]
    _, system, size = np.unique(
        np.array(chemical_systems(everything)), return_inverse=True, return_counts=True
    )
    rng = np.random.default_rng(0)
    large = np.flatnonzero(size >= EACH)
    chosen = np.isin(system, rng.permutation(large)[: -(-count // EACH)])
    shuffled = rng.permutation(np.flatnonzero(chosen))
    # Of each system the first EACH of the shuffled rows.
    order = shuffled[np.argsort(system[shuffled], kind="stable")]
    starts = np.searchsorted(system[order], system[order])
    return everything[np.sort(order[np.arange(len(order)) - starts < EACH])[:count]]


def store(cache: HullCache | None) -> HullStore:
    """Return the shipped energies with a cache of their own."""
    plain = HullStore.from_table(cached=False)
    plain.systems.cache = cache
    return plain


def pymatgen_seconds(hulls: HullStore, compositions: Compositions, ions: list[str]) -> float:
    """Return the mean time of pymatgen for one formula: phase diagram, distance, grand-potential profile."""
    start = time.process_time()
    for row in range(len(compositions)):
        numbers = tuple(int(z) for z in compositions.atomic_numbers[row] if z)
        system = hulls.systems.system(numbers)
        entries = [PDEntry(Composition(symbols()[z]), 0.0) for z in numbers]
        for phase in system.rows.tolist():
            formula = Composition(hulls.systems.formula(phase))
            entries.append(PDEntry(formula, hulls.systems.energies[phase] * formula.num_atoms))
        diagram = PhaseDiagram(entries)
        composition = Composition(compositions[row : row + 1].formulas()[0])
        diagram.get_hull_energy_per_atom(composition)
        diagram.get_element_profile(Element(ions[row]), composition)
    return (time.process_time() - start) / len(compositions)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="time per formula of hull and window")
    parser.add_argument("--formulas", type=int, default=20_000)
    parser.add_argument("--pymatgen", type=int, default=60, help="formulas for the comparison")
    chosen = parser.parse_args()
    compositions = candidates(chosen.formulas)
    count, systems = len(compositions), len(set(chemical_systems(compositions)))
    ions = [MOBILE_IONS[i] for i in mobile_ion_of(compositions)]
    checksum = load_card("formation_energy").sha256
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            hulls = store(HullCache(checksum, Path(folder)))
            start = time.process_time()
            result = hulls.evaluate(compositions, ions)
            times[f"hull energy and window, {name} disk cache"] = (time.process_time() - start) / count
        assert (result.reason == "").all()
        # Any energies do: the work does not depend on them.
        level = np.repeat((result.hull_energy_ev_atom + 0.02)[None], 5, axis=0)
        energy = PropertyPrediction(level, np.full(level.shape, 0.1))
        volts = np.ones_like(level)
        heads = PropertyPrediction(volts, 0.2 * volts), PropertyPrediction(4 * volts, 0.2 * volts)
        for what, said, named in (
            ("distributions of both through the hull, warm", None, False),
            ("the same, judged by the trees", heads, False),
            ("and with the products named", heads, True),
        ):
            hulls = store(HullCache(checksum, Path(folder)))
            start = time.process_time()
            stability(compositions, energy, hulls, named=named, heads=said)
            times[what] = (time.process_time() - start) / count
        sample = np.linspace(0, count - 1, chosen.pymatgen).astype(np.int64)
        warm = store(HullCache(checksum, Path(folder)))
        ours = [ions[i] for i in sample]
        times["pymatgen, a phase diagram and profile a formula"] = pymatgen_seconds(
            warm, compositions[sample], ours
        )
    body = [[name, f"{1e3 * seconds:.2f}"] for name, seconds in times.items()]
    text = (
        f"`python -m benchmarks.hull_speed`: {count:,} formulas of {systems:,} chemical systems, "
        f"processor time of all threads (not wall time, which depends on what else runs); pymatgen on "
        f"{len(sample)} of them, with the entries at hand.\n\n"
    ) + markdown_table(["step", "ms a formula"], body)
    print(text)
    write_section("hull-speed", text)


if __name__ == "__main__":
    main()
