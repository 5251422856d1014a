"""Who may learn from what: the splits of the evaluation protocols.

Every protocol is a list of `Split`: rows that may be trained on, rows to predict. docs/evaluation.md says in
words what is said here in masks; tests/test_protocols.py checks that nothing leaks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions, chemical_systems
from softlyte.datasets.publication_year import publication_years
from softlyte.datasets.splits import grouped_folds, matbench_folds
from softlyte.datasets.tables import load_table, unfit_rows
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import TrainingDataError, TrainingRows
from softlyte.screening.families import FAMILIES, MOBILE_IONS, classify_family, mobile_ion_of

MODULI = ("bulk_modulus_gpa", "shear_modulus_gpa", "youngs_modulus_gpa")
SIGMA = "sigma_s_cm"
OBELIX_BOUND = -15.0
"""log10 S/cm that stands for "<1E-10" and "<1E-8" in OBELiX's own processed.csv and loader (1e-15 S/cm)."""

LAST_TRAINING_YEAR = 2021
"""The time split trains on what was published up to and in this year."""

GLASSES = ("glass_mechanics", "glass_properties", "glass_conductivity")
"""The sources of the training matrix that hold the glass table."""

HALOGENS = ("F", "Cl", "Br", "I")
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """One fit of a protocol.

    Attributes:
        name: for folders and tables, for example "fold_0".
        used: [N] True for the rows of the training matrix that any stage may see.
        test: rows to predict, with their labels.
        extra: [M] values of a protocol's own by name, a row of `test` each (years, flags, ...).
    """

    name: str
    used: Mask
    test: TrainingRows
    extra: dict[str, NDArray]


def labelled(rows: TrainingRows, targets: Sequence[str]) -> Mask:
    """Return which rows carry a label of one of the targets, [N]."""
    return ~np.isnan(rows.targets[:, [TARGET_NAMES.index(name) for name in targets]]).all(axis=1)


def of_table(rows: TrainingRows, *names: str) -> Mask:
    """Return which rows come from one of the tables, [N]."""
    return np.isin(rows.source, [rows.sources.index(name) for name in names if name in rows.sources])


def labelled_where(
    rows: TrainingRows, targets: Sequence[str], chosen: Callable[[Compositions], Mask]
) -> Mask:
    """Return which rows carry a label of one of the targets and a composition that is chosen, [N]."""
    out = labelled(rows, targets)
    out[out] = chosen(rows.compositions[out])
    return out


def among(others: Compositions) -> Callable[[Compositions], Mask]:
    """Return the choice of compositions that are, reduced, among the others."""
    keys = np.unique(others.keys())
    return lambda compositions: np.isin(compositions.keys(), keys)


def has_halogen(compositions: Compositions) -> Mask:
    """Return which compositions hold F, Cl, Br or I, [N]."""
    return np.stack([compositions.amount_of(x) > 0 for x in HALOGENS]).any(axis=0)


def shared_pretraining(rows: TrainingRows) -> Mask:
    """Return the rows that one pretraining a seed, shared by all splits of all protocols, may see, [N].

    Out stay every modulus (of crystals, glasses and cited materials), every conductivity of a composition in
    OBELiX or in the cited panel, and every conductivity of a composition with a halogen, glasses included.
    What is left holds no label of a kind that the Matbench, OBELiX, family or time splits test on a
    composition, or a family, of theirs: formation energies, windows, densities, hardness, glass
    transitions, and conductivities of glasses without halogen. (The grouped folds do not use it: windows
    come from the formation energies.)
    """
    measured = rows.compositions[of_table(rows, "conductivity_obelix", "conductivity_cited")]
    listed = among(
        Compositions.concatenate(
            [measured, Compositions.from_formulas(load_table("conductivity_obelix")["formula"])]
        )
    )
    near = labelled_where(rows, [SIGMA], lambda c: listed(c) | has_halogen(c))
    return ~(labelled(rows, MODULI) | near)


def matbench(rows: TrainingRows) -> list[Split]:
    """Return the five official folds of Matbench v0.1 over all 10,987 rows, flagged ones in the test.

    Training may use the unflagged rows of the other four folds, and moduli from other tables unless they
    are of a test composition.
    """
    table = load_table("elastic_moduli")
    fold, fit = matbench_folds(len(table)), ~unfit_rows(table["flag"]).to_numpy()
    here = np.flatnonzero(of_table(rows, "elastic_moduli"))
    compositions = Compositions.from_formulas(table["formula"])
    _check_aligned(rows.compositions[here], compositions[fit], "elastic_moduli")
    labels = {
        "bulk_modulus_gpa": table["log10_bulk_modulus_gpa"].to_numpy(float),
        "shear_modulus_gpa": table["log10_shear_modulus_gpa"].to_numpy(float),
    }
    everything = _like(rows, np.full(len(table), here[0]), compositions, labels)
    own = np.full(len(rows), -1)
    own[here] = fold[fit]
    splits = []
    for number in range(5):
        test = fold == number
        foreign = labelled_where(rows, MODULI, among(compositions[test])) & (own < 0)
        used = (own != number) & ~foreign
        splits.append(Split(f"fold_{number}", used, everything.take(test), {"flagged": ~fit[test]}))
    return splits


def obelix(rows: TrainingRows) -> list[Split]:
    """Return the official OBELiX split: all 121 test rows, flagged and censored ones too.

    Training may use everything but conductivities of a test composition, in any table, at any temperature.
    """
    table = load_table("conductivity_obelix")
    return [_conductivity_split("official", rows, table[(table["split"] == "test").to_numpy()])]


def obelix_folds(rows: TrainingRows, k: int = 5) -> list[Split]:
    """Return k folds by reduced composition over OBELiX's train part; its test part is not used at all."""
    table = load_table("conductivity_obelix")
    official = Compositions.from_formulas(table["formula"][table["split"] == "test"])
    unseen = labelled_where(rows, [SIGMA], among(official))
    part = table[(table["split"] == "train").to_numpy()].reset_index(drop=True)
    compositions = Compositions.from_formulas(part["formula"])
    fold = grouped_folds(compositions.formulas(), k)
    splits = [_conductivity_split(f"fold_{n}", rows, part[fold == n]) for n in range(k)]
    return [replace(split, used=split.used & ~unseen) for split in splits]


FAMILY_HOLD_OUTS: dict[str, tuple[str, ...]] = {
    "chlorides": ("chloride",),
    "oxychlorides": ("oxychloride",),
    "bromides and iodides": ("bromide", "iodide"),
    "fluorides": ("fluoride",),
    "mixed halides": ("mixed-halide",),
    "antiperovskites": ("antiperovskite",),
}
"""Hold-outs by anion: together they hold every row of the cited panel once."""

SODIUM = "sodium halides"
"""A further hold-out across the families: halides and oxyhalides with more sodium than lithium."""


def cited_panel(rows: TrainingRows) -> tuple[TrainingRows, pd.DataFrame]:
    """Return the cited conductivities that are fit to use, and their table rows in the same order."""
    table = load_table("conductivity_cited")
    table = table[(table["train"] & table["log10_sigma_s_cm"].notna()).to_numpy()].reset_index(drop=True)
    panel = rows.take(of_table(rows, "conductivity_cited"))
    _check_aligned(panel.compositions, Compositions.from_formulas(table["formula"]), "conductivity_cited")
    return panel, table


def hold_out_class(compositions: Compositions, name: str) -> Mask:
    """Return which compositions belong to a hold-out, [N]."""
    if name == SODIUM:
        sodium = mobile_ion_of(compositions) == MOBILE_IONS.index("Na")
        return np.asarray(sodium & has_halogen(compositions))
    codes = [FAMILIES.index(family) for family in FAMILY_HOLD_OUTS[name]]
    return np.isin(classify_family(compositions), codes)


def families_left_out(rows: TrainingRows) -> list[Split]:
    """Return a split for each family of the cited panel.

    Training sees no conductivity of a composition of that family in any table (OBELiX and SciGlass too: a
    borate glass with LiCl counts as an oxychloride), and none of a test composition.
    """
    panel, table = cited_panel(rows)
    sigma = labelled(rows, [SIGMA])
    conductors = rows.compositions[sigma]
    splits = []
    for name in (*FAMILY_HOLD_OUTS, SODIUM):
        mask = hold_out_class(panel.compositions, name)
        test = panel.take(mask)
        used = np.ones(len(rows), bool)
        used[sigma] = ~(hold_out_class(conductors, name) | among(test.compositions)(conductors))
        extra = {"formula": table["formula"].to_numpy()[mask]}
        splits.append(Split(name.replace(" ", "_"), used, test, extra))
    return splits


def time_split(rows: TrainingRows) -> list[Split]:
    """Return the split by year of publication of measured conductivities of OBELiX and the cited panel.

    Tested is what the two tables say was published after LAST_TRAINING_YEAR and is fit to use. Trained on are
    the conductivities published up to it (SciGlass ends in 2019; the DFT tables were computed before) except
    those of a test composition. Rows without a known year are on neither side.
    """
    year = row_years(rows)
    sigma = labelled(rows, [SIGMA])
    new = sigma & (year > LAST_TRAINING_YEAR)
    unknown = sigma & np.isnan(year)
    again = labelled_where(rows, [SIGMA], among(rows.compositions[new]))
    used = ~(new | unknown | again)
    seen_before = among(rows.compositions[sigma & (year <= LAST_TRAINING_YEAR)])(rows.compositions[new])
    return [Split("after_2021", used, rows.take(new), {"year": year[new], "measured_before": seen_before})]


def row_years(rows: TrainingRows) -> NDArray[np.float64]:
    """Return the year of publication of every row with a conductivity, [N]; NaN where not known.

    SciGlass rows count as its last year (2019), so that they are known to lie before the limit.
    """
    year = np.full(len(rows), np.nan)
    year[of_table(rows, *GLASSES)] = load_table("glass_properties")["year"].max()
    _, cited = cited_panel(rows)
    # The DOI of a cited row may be that of the paper that quotes it, so it cannot stand in for the year.
    year[of_table(rows, "conductivity_cited")] = cited["year_published"]
    table = load_table("conductivity_obelix", drop_flagged=True)
    here = of_table(rows, "conductivity_obelix")
    _check_aligned(
        rows.compositions[here], Compositions.from_formulas(table["formula"]), "conductivity_obelix"
    )
    year[here] = publication_years(table["doi"])
    return year


def grouped(rows: TrainingRows, by: str, k: int = 5) -> list[Split]:
    """Return k folds over all tables at once, by "chemical system" or "reduced formula".

    The folds by chemical system are those of the training run.
    """
    fold = system_folds(rows, k) if by == "chemical system" else hashed_folds(rows.compositions, k)
    return [Split(f"fold_{n}", fold != n, rows.take(fold == n), {}) for n in range(int(fold.max()) + 1)]


MEASURED = ("conductivity_obelix", "conductivity_cited")
"""The sources with measured conductivities of crystals and halides, a few hundred rows."""


def measured_folds(rows: TrainingRows, by: str, k: int = 5) -> list[Split]:
    """Return k folds of the measured conductivities, by "reduced formula" or by "chemical system".

    Training sees no conductivity, in any table, of a composition (of a chemical system) that is tested.
    `extra` holds the place of each test row in the training matrix.
    """
    sigma = labelled(rows, [SIGMA])
    place = np.flatnonzero(of_table(rows, *MEASURED) & sigma)
    conductors = rows.compositions[sigma]
    names = np.array(chemical_systems(conductors)) if by == "chemical system" else conductors.keys()
    group = np.full(len(rows), -1)
    group[sigma] = np.unique(names, return_inverse=True)[1].ravel()
    labels = chemical_systems(conductors) if by == "chemical system" else [k.tobytes().hex() for k in names]
    text = np.full(len(rows), "", dtype=object)
    text[sigma] = labels
    fold = grouped_folds([str(t) for t in text[place]], k)
    splits = []
    for number in range(k):
        here = place[fold == number]
        used = ~(sigma & np.isin(group, group[here]))
        splits.append(Split(f"fold_{number}", used, rows.take(here), {"place": here}))
    return splits


def hashed_folds(compositions: Compositions, k: int = 5) -> NDArray[np.int64]:
    """Return the fold of each row by reduced composition, [N].

    It depends on the composition alone, so that other rows of other tables change nothing.
    """
    names, inverse = np.unique(compositions.keys(), return_inverse=True)
    digests = [hashlib.sha256(name.tobytes()).digest() for name in names]
    return np.array([int.from_bytes(d[:6], "big") % k for d in digests], np.int64)[inverse.ravel()]


def system_folds(rows: TrainingRows, k: int = 5) -> NDArray[np.int64]:
    """Return the fold of each row by chemical system, [N]: the training run's own where it states them."""
    stated = getattr(rows, "fold", None)
    return grouped_folds(chemical_systems(rows.compositions), k) if stated is None else np.asarray(stated)


def _conductivity_split(name: str, rows: TrainingRows, table: pd.DataFrame) -> Split:
    """Return the split that tests on rows of the OBELiX table."""
    compositions = Compositions.from_formulas(table["formula"])
    template = np.flatnonzero(of_table(rows, "conductivity_obelix"))[0]
    censored = table["censored"].to_numpy(bool)
    labels = {SIGMA: table["log10_sigma_s_cm"].to_numpy(float)}
    test = _like(rows, np.full(len(table), template), compositions, labels, censored)
    used = ~labelled_where(rows, [SIGMA], among(compositions))
    return Split(name, used, test, {"flagged": unfit_rows(table["flag"]).to_numpy()})


def _like(
    rows: TrainingRows,
    template: NDArray[np.int64],
    compositions: Compositions,
    labels: dict[str, NDArray[np.float64]],
    censored: Mask | None = None,
) -> TrainingRows:
    """Return rows with the conditions of template rows and compositions and labels of their own."""
    targets = np.full((len(compositions), len(TARGET_NAMES)), np.nan)
    for name, values in labels.items():
        targets[:, TARGET_NAMES.index(name)] = values
    flags = np.zeros(len(compositions), bool) if censored is None else censored
    return replace(rows.take(template), compositions=compositions, targets=targets, censored=flags)


def _check_aligned(found: Compositions, expected: Compositions, table: str) -> None:
    if len(found) != len(expected) or (found.keys() != expected.keys()).any():
        raise TrainingDataError(
            f"the training rows of {table} are not its rows in their order; adapt benchmarks/protocols.py to "
            f"what models/training_data.py reads"
        )
