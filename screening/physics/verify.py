"""Check candidates with universal potentials: `softlyte verify`.

Structures are relaxed and strained under each potential and placed on a hull of that potential alone. What is
finished is kept in the folder; a killed run goes on where it was and ends with the same files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Structure

from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import symbols
from softlyte.featurize.crystal_files import read_crystal_files
from softlyte.screening.crystals.generate import crystals_of, plain_structure, read_crystals
from softlyte.screening.crystals.ordering import ordered
from softlyte.screening.csv_rows import read_rows
from softlyte.screening.evaluate import PropertyPredictor
from softlyte.screening.export import atomic_text, write_csv, write_rejected
from softlyte.screening.inputs import RejectedRow, check_rows, rows_from_formulas
from softlyte.screening.physics.competing import References, competing_formulas, normal
from softlyte.screening.physics.elasticity import FMAX_EV_A, OPTIMIZER
from softlyte.screening.physics.examine import examine, has_energy
from softlyte.screening.physics.job_folder import JobFolder, safe_name
from softlyte.screening.physics.potentials import POTENTIALS, check_device, find_potential, load_calculator
from softlyte.screening.physics.verdict import Verdict, by_potential_table, place_on_hull, verified_table
from softlyte.screening.predict import predict_rows
from softlyte.screening.run_record import open_run

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

VERIFIED_FILE, POTENTIALS_FILE, STRUCTURES_FOLDER = "verified.csv", "verified_potentials.csv", "structures"
TASKS_FOLDER = "tasks"
DEFAULT_POTENTIALS = tuple(POTENTIALS)
MOST_SITES = 60
"""Larger structures take tens of minutes each and are refused."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Subject:
    """What is verified.

    Attributes:
        name: unique.
        formula: in normal form.
        source: parent of a substituted structure, else the file.
        structures: that it may have; empty if it is a composition that no parent holds.
    """

    name: str
    formula: str
    source: str
    structures: tuple[Structure, ...]


class Task(NamedTuple):
    """One structure under one potential.

    Attributes:
        structure: of `plain_structure`.
        potential: name or dotted path.
        device: "cpu" or "cuda".
        elasticity: False ends after the relaxation.
    """

    structure: dict[str, object]
    potential: str
    device: str
    elasticity: bool


@lru_cache(maxsize=4)
def _calculator(potential: str, device: str) -> Calculator:
    """Return a calculator, loaded once in each process."""
    return load_calculator(potential, device)


def work(task: Task) -> dict[str, Any]:
    """Return the record of a task; the calculator is loaded once in each process."""
    structure = Structure.from_dict(task.structure)
    return examine(structure, _calculator(task.potential, task.device), task.elasticity)


def subjects_from_compositions(formulas: Iterable[str], structures_each: int = 3) -> list[Subject]:
    """Return a subject for each composition, with structures by substitution where a parent holds it."""
    found = []
    for name in dict.fromkeys(normal(formula) for formula in formulas):
        crystals = [c for c in crystals_of(name, structures_each) if len(c.structure) <= MOST_SITES]
        source = crystals[0].parent if crystals else ""
        found.append(Subject(name, name, source, tuple(c.structure for c in crystals)))
    return found


def read_subjects(
    sources: Sequence[Path | str], top: int | None = None
) -> tuple[list[Subject], list[RejectedRow]]:
    """Return what files ask for, and the rows of a CSV that cannot be used.

    Args:
        sources: one CSV with a column formula (its first `top` different formulas), or any number of
            crystals.jsonl, CIF, POSCAR and pymatgen JSON files.
        top: subjects to take; None for all.

    Raises:
        UserError: nothing is there, kinds are mixed, or a structure cannot be used (its name and why).
    """
    paths = [Path(source) for source in sources]
    if not paths:
        raise UserError("there is nothing to verify; give a CSV of candidates or structure files")
    tables = [path for path in paths if path.suffix.lower() == ".csv"]
    if tables and len(paths) > 1:
        raise UserError(f"{tables[0]} comes with other files; give one CSV, or structures only")
    if tables:
        return _from_table(tables[0], top)
    found: list[Subject] = []
    for path in paths:
        found += _from_crystals(path) if path.name.endswith(".jsonl") else _from_file(path)
    names = [subject.name for subject in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"two structures are called {twice}; rename one file")
    return found[:top], []


def _from_table(path: Path, top: int | None) -> tuple[list[Subject], list[RejectedRow]]:
    inputs = check_rows(read_rows(path), np.ones(len(symbols()), dtype=bool))
    formulas = list(dict.fromkeys(inputs.compositions.formulas()))[:top]
    if not formulas:
        raise UserError(f"none of the rows of {path} can be used; {inputs.rejected[0].reason}")
    return subjects_from_compositions(formulas), inputs.rejected


def _from_crystals(path: Path) -> list[Subject]:
    return [Subject(c.name, normal(c.formula), c.parent, (c.structure,)) for c in read_crystals(path)]


def _from_file(path: Path) -> list[Subject]:
    reading = read_crystal_files([path])
    if reading.failures:
        raise UserError(f"{path}: {reading.failures[0].reason}")
    found = []
    for place, structure in enumerate(reading.crystals.structures(), start=1):
        name = path.stem if len(reading.names) == 1 else f"{path.stem}-{place}"
        if not structure.is_ordered:
            structure = ordered(structure)
            structure.remove_oxidation_states()
        if len(structure) > MOST_SITES:
            raise UserError(
                f"{path} has {len(structure)} sites, more than {MOST_SITES}; give its primitive cell"
            )
        formula = normal(structure.composition.reduced_formula)
        found.append(Subject(name, formula, path.name, (structure,)))
    return found


@dataclass(frozen=True)
class VerifyResult:
    """Results of a verification, as they lie in `folder`.

    Attributes:
        folder: holds verified.csv, verified_potentials.csv, structures/, run.json and the checkpoints.
        verified: one row for each subject.
        by_potential: one row for each subject and potential.
        rejected: rows of a CSV that could not be used, or repeat another; they stand in rejected.csv.
    """

    folder: Path
    verified: pd.DataFrame
    by_potential: pd.DataFrame
    rejected: list[RejectedRow]


def verify(
    sources: Sequence[Path | str],
    out: Path | str,
    top: int | None = None,
    potentials: Sequence[str] = DEFAULT_POTENTIALS,
    device: str = "cpu",
    workers: int = 2,
    references: Sequence[Path | str] = (),
    elasticity: bool = True,
    weights: Path | str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> VerifyResult:
    """Relax and strain candidates under each potential, place them on its hull, compare with the networks.

    Args:
        sources: see `read_subjects`.
        out: folder for the results; the same call goes on with what is there.
        top: subjects to take; None for all.
        potentials: names, or dotted paths of ASE calculators.
        device: "cpu" or "cuda".
        workers: processes of one thread each.
        references: structure files of further competing phases.
        elasticity: False ends after relaxation and hull.
        weights: folder of the networks to compare with; None for the shipped ones.
        overwrite: replace another run's results in the folder.
        progress: called with a stage's name, done and total.

    Raises:
        UserError: sources, potentials, device or folder cannot be used.
    """
    subjects, rejected = read_subjects(sources, top)
    own = [s for subject in (_from_file(Path(path)) for path in references) for s in subject]
    return verify_subjects(
        subjects,
        Path(out),
        potentials,
        device,
        workers,
        [structure for subject in own for structure in subject.structures],
        elasticity,
        weights,
        overwrite,
        progress,
        rejected,
    )


def verify_subjects(
    subjects: Sequence[Subject],
    out: Path,
    potentials: Sequence[str] = DEFAULT_POTENTIALS,
    device: str = "cpu",
    workers: int = 2,
    references: Sequence[Structure] = (),
    elasticity: bool = True,
    weights: Path | str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    rejected: Sequence[RejectedRow] = (),
    predictor: PropertyPredictor | None = None,
) -> VerifyResult:
    """Verify subjects that are already read; arguments as for `verify`, or a predictor for `weights`."""
    if not potentials or len(set(potentials)) < len(potentials):
        raise UserError("each potential is given once, and at least one; correct --potential")
    if workers < 1:
        raise UserError(f"the number of workers is {workers}; give 1 or more")
    loaded = [find_potential(name) for name in potentials]
    check_device(device)
    config = {
        "command": "verify",
        "potentials": {p.name: {"version": p.version(), "weights": p.checksum()} for p in loaded},
        "settings": {"fmax_ev_a": FMAX_EV_A, "optimizer": OPTIMIZER, "elasticity": elasticity},
        "device": device,
        "subjects": _checksum([(s.name, s.formula, _plain(s.structures)) for s in subjects]),
        "references": _checksum(_plain(references)),
        "weights": str(weights) if predictor is None else predictor.weights_sha256,
    }
    record = open_run(out, config, overwrite)
    try:
        tasks = out / TASKS_FOLDER
        if overwrite and tasks.exists() and JobFolder.config_of(tasks) != {"run": _checksum(config)}:
            shutil.rmtree(tasks)
        folder = JobFolder(tasks, {"run": _checksum(config)})
        run = _Run(folder, tuple(potentials), device, workers, elasticity, progress)
        chosen = run.chosen(subjects)
        records = run.examined(chosen)
        verdicts = run.judged(chosen, records, [References(p, references) for p in loaded])
        network = _network(subjects, weights, predictor)
        verified = verified_table(subjects, verdicts, network)
        detail = by_potential_table(verdicts)
        (out / STRUCTURES_FOLDER).mkdir(exist_ok=True)
        for verdict in verdicts:
            if "structure" in verdict.record:
                text = str(Structure.from_dict(verdict.record["structure"]).to(fmt="cif"))
                name = f"{safe_name(verdict.name)}.{safe_name(verdict.potential)}.cif"
                with atomic_text(out / STRUCTURES_FOLDER / name) as handle:
                    handle.write(text)
        write_rejected(out, rejected)
        write_csv(out / POTENTIALS_FILE, detail)
        write_csv(out / VERIFIED_FILE, verified)
    except BaseException as error:
        record.fail(error)
        raise
    record.finish({"subjects": len(subjects), "sound": int((verified["verify_status"] == "ok").sum())})
    return VerifyResult(out, verified, detail, list(rejected))


@dataclass(frozen=True)
class _Run:
    """What all stages share."""

    folder: JobFolder
    potentials: tuple[str, ...]
    device: str
    workers: int
    elasticity: bool
    progress: Progress | None

    def chosen(self, subjects: Sequence[Subject]) -> list[tuple[Subject, Structure]]:
        """Return each subject with its structure: of several the lowest under the first potential."""
        tasks = [
            (f"choose-{subject.name}-{place}", self._task(structure, self.potentials[0], False))
            for subject in subjects
            if len(subject.structures) > 1
            for place, structure in enumerate(subject.structures)
        ]
        records = self._do(tasks, "choose")
        found = []
        for subject in subjects:
            if not subject.structures:
                continue
            energies = [
                _energy(records.get(f"choose-{subject.name}-{place}", {}))
                for place in range(len(subject.structures))
            ]
            found.append((subject, subject.structures[int(np.argmin(energies))]))
        return found

    def examined(self, chosen: Sequence[tuple[Subject, Structure]]) -> dict[str, dict[str, Any]]:
        """Return the record of each subject and potential by key."""
        tasks = [
            (_key(subject, potential), self._task(structure, potential, self.elasticity))
            for subject, structure in chosen
            for potential in self.potentials
        ]
        return self._do(tasks, "examine")

    def judged(
        self,
        chosen: Sequence[tuple[Subject, Structure]],
        records: dict[str, dict[str, Any]],
        references: Sequence[References],
    ) -> list[Verdict]:
        """Return the verdict of each potential on each subject: its record and its place on the hull."""
        systems = {frozenset(_elements(subject.formula)) for subject, _ in chosen}
        formulas = sorted({f for system in systems for f in competing_formulas(system)})
        verdicts = []
        for potential, reference in zip(self.potentials, references, strict=True):
            wanted = reference.wanted(formulas)
            tasks = [(f"{w.key}-{potential}", self._task(w.structure, potential, False)) for w in wanted]
            relaxed = self._do(tasks, f"phases {potential}")
            for one in wanted:
                reference.add(one, relaxed[f"{one.key}-{potential}"])
            own = {subject.name: records[_key(subject, potential)] for subject, _ in chosen}
            pairs = [(subject.name, subject.formula) for subject, _ in chosen]
            verdicts += place_on_hull(potential, pairs, own, reference)
        return verdicts

    def _task(self, structure: Structure, potential: str, elasticity: bool) -> Task:
        return Task(plain_structure(structure), potential, self.device, elasticity)

    def _do(self, tasks: list[tuple[str, Task]], stage: str) -> dict[str, dict[str, Any]]:
        return self.folder.run_parallel(tasks, work, self.workers, self.progress, stage)


def _key(subject: Subject, potential: str) -> str:
    return f"{subject.name}-{potential}"


def _energy(record: dict[str, Any]) -> float:
    """Return a relaxed energy for comparison; infinite if the structure is not sound."""
    return float(record["energy_ev_atom"]) if has_energy(record) else float("inf")


def _elements(formula: str) -> set[str]:
    return {el.symbol for el in Composition(formula).elements}


def _plain(structures: Iterable[Structure]) -> list[dict[str, object]]:
    return [plain_structure(structure) for structure in structures]


def _checksum(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _network(
    subjects: Sequence[Subject], weights: Path | str | None, predictor: PropertyPredictor | None
) -> pd.DataFrame:
    """Return the networks' predictions of the subjects as crystals, by formula; without those it refuses."""
    formulas = list(dict.fromkeys(subject.formula for subject in subjects))
    frame, _ = predict_rows(
        rows_from_formulas(formulas), phase="crystal", predictor=predictor, weights=weights, device="cpu"
    )
    return frame.set_index("formula")
