"""Vendored tables become one matrix of targets, each row with its conditions and fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import FIDELITIES, PHASES
from softlyte.datasets.distances import within
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions, chemical_systems
from softlyte.datasets.publication_year import LATEST_DELAY, publication_years
from softlyte.datasets.splits import grouped_folds
from softlyte.datasets.tables import load_table, table_checksum, table_names
from softlyte.models.tasks import TARGET_NAMES, TARGET_TRANSFORMS

ROOM_C = 25.0
MECHANICAL = ("bulk_modulus_gpa", "shear_modulus_gpa", "youngs_modulus_gpa", "hardness_gpa")
TABLE_OF = {"glass_mechanics": "glass_properties", "glass_conductivity": "glass_properties"}
"""Table behind a source, where the names differ."""
CRYSTAL, GLASS = PHASES.index("crystal"), PHASES.index("glass")


class TrainingDataError(UserError):
    """Tables that cannot teach what was asked for; the message says what is missing."""


@dataclass(frozen=True)
class TrainingRows:
    """N labelled rows.

    Attributes:
        compositions: N compositions.
        phase: [N] index into columns.PHASES.
        fidelity: [N] index into columns.FIDELITIES.
        temperature_c: [N] degrees Celsius.
        targets: [N, len(TARGET_NAMES)] in each task's transformed unit, NaN where not labelled.
        censored: [N] True where the labels are upper bounds, not values.
        weight: [N] factor on the row's loss, 1 for a row of a large table.
        source: [N] index into `sources`.
        fold: [N] 0..K-1 by chemical system: what is alike shares a fold.
        sources: table names.
    """

    compositions: Compositions
    phase: NDArray[np.int64]
    fidelity: NDArray[np.int64]
    temperature_c: NDArray[np.float64]
    targets: NDArray[np.float64]
    censored: NDArray[np.bool_]
    weight: NDArray[np.float64]
    source: NDArray[np.int64]
    fold: NDArray[np.int64]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.phase)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> TrainingRows:
        """Return the chosen rows."""
        return TrainingRows(
            self.compositions[rows],
            self.phase[rows],
            self.fidelity[rows],
            self.temperature_c[rows],
            self.targets[rows],
            self.censored[rows],
            self.weight[rows],
            self.source[rows],
            self.fold[rows],
            self.sources,
        )

    def joined(self, more: TrainingRows) -> TrainingRows:
        """Return these rows and more after them; sources of `more` that are new here are appended."""
        sources = tuple(dict.fromkeys((*self.sources, *more.sources)))
        number = np.array([sources.index(name) for name in more.sources], np.int64)

        def both(name: str) -> NDArray:
            return np.concatenate([getattr(self, name), getattr(more, name)])

        return TrainingRows(
            Compositions.concatenate([self.compositions, more.compositions]),
            both("phase"),
            both("fidelity"),
            both("temperature_c"),
            both("targets"),
            both("censored"),
            both("weight"),
            np.concatenate([self.source, number[more.source]]),
            both("fold"),
            sources,
        )


COMPUTED, UNKNOWN = -np.inf, np.nan
"""Latest possible year of publication of values that anybody can compute at any time, and of those of which
it is not known."""


@dataclass(frozen=True)
class _Part:
    """Rows of one table before they are joined; scalars stand for every row."""

    formulas: pd.Series
    phase: NDArray[np.int64] | int
    fidelity: NDArray[np.int64] | str
    labels: dict[str, pd.Series]
    temperature_c: NDArray[np.float64] | float = ROOM_C
    censored: NDArray[np.bool_] | bool = False
    weight: NDArray[np.float64] | float = 1.0
    published: NDArray[np.float64] | float = COMPUTED


def _log10(values: pd.Series) -> pd.Series:
    return pd.Series(np.log10(values.where(values > 0).to_numpy(float)), index=values.index)


def _elastic_moduli() -> Iterable[_Part]:
    t = load_table("elastic_moduli", drop_flagged=True)
    yield _Part(
        t["formula"],
        CRYSTAL,
        "dft_pbe_crystal",
        {"bulk_modulus_gpa": t["log10_bulk_modulus_gpa"], "shear_modulus_gpa": t["log10_shear_modulus_gpa"]},
    )


def _formation_energy() -> Iterable[_Part]:
    t = load_table("formation_energy", drop_flagged=True)
    label = {"formation_energy_ev_atom": t["formation_energy_ev_atom"]}
    yield _Part(t["formula"], CRYSTAL, "dft_pbe_crystal", label)


def _windows_computed() -> Iterable[_Part]:
    t = load_table("windows_computed", drop_flagged=True)
    labels = {"oxidation_v": t["oxidation_v"], "reduction_v": t["reduction_v"]}
    yield _Part(t["formula"], CRYSTAL, "dft_pbe_crystal", labels)


def _crystal_volume() -> Iterable[_Part]:
    t = load_table("crystal_volume", drop_flagged=True)
    label = {"density_g_cm3": _log10(t["density_g_cm3"])}
    yield _Part(t["formula"], CRYSTAL, "dft_pbe_crystal", label)


def _glass_labels() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the glass table and, on the same index, its labels at one temperature."""
    t = load_table("glass_properties", drop_flagged=True)
    bulk = t["bulk_modulus_gpa"]
    labels = {
        "bulk_modulus_gpa": _log10(bulk),
        "shear_modulus_gpa": _log10(t["shear_modulus_gpa"]),
        # E is a label of its own only where K is not known: otherwise K and G say the same.
        "youngs_modulus_gpa": _log10(t["youngs_modulus_gpa"].where(bulk.isna())),
        "hardness_gpa": _log10(t["hardness_gpa"]),
        "density_g_cm3": _log10(t["density_g_cm3"]),
        "glass_transition_k": t["glass_transition_k"],
    }
    return t, pd.DataFrame(labels)


def _glass_part(mechanical: bool) -> Iterable[_Part]:
    t, labels = _glass_labels()
    known = labels.notna()
    chosen = known[list(MECHANICAL)].any(axis=1)
    if not mechanical:
        chosen = ~chosen & known.any(axis=1)
    columns = {str(name): values[chosen] for name, values in labels.items()}
    years = t["year"][chosen].to_numpy(float)
    yield _Part(t["formula"][chosen], GLASS, "measured_glass", columns, published=years)


def _glass_conductivity() -> Iterable[_Part]:
    t, _ = _glass_labels()
    for celsius in (20, 100, 150, 300):
        column = t[f"log10_sigma_s_cm_{celsius}c"]
        known = column.notna()
        yield _Part(
            t["formula"][known],
            GLASS,
            "measured_glass",
            {"sigma_s_cm": column[known]},
            temperature_c=float(celsius),
            published=t["year"][known].to_numpy(float),
        )


def _conductivity_obelix() -> Iterable[_Part]:
    t = load_table("conductivity_obelix", drop_flagged=True)
    yield _Part(
        t["formula"],
        CRYSTAL,
        "measured_pellet",
        {"sigma_s_cm": t["log10_sigma_s_cm"]},
        censored=t["censored"].to_numpy(bool),
        published=publication_years(t["doi"]) + LATEST_DELAY,
    )


def _conductivity_cited() -> Iterable[_Part]:
    t = load_table("conductivity_cited")
    t = t[t["train"] & t["log10_sigma_s_cm"].notna()]
    glass = (t["phase"] == "glass").to_numpy()
    pellet, in_glass = FIDELITIES.index("measured_pellet"), FIDELITIES.index("measured_glass")
    yield _Part(
        t["formula"],
        np.where(glass, GLASS, CRYSTAL),
        np.where(glass, in_glass, pellet),
        {"sigma_s_cm": t["log10_sigma_s_cm"]},
        temperature_c=t["temperature_c"].fillna(ROOM_C).to_numpy(float),
        censored=t["censored"].to_numpy(bool),
        weight=evidence_weight(t["evidence"]),
        # The DOI of a cited row may be that of the paper that quotes it, so it cannot stand in for the year.
        published=t["year_published"].to_numpy(float),
    )


def _mechanics_cited() -> Iterable[_Part]:
    t = load_table("mechanics_cited", drop_flagged=True)
    # Rows without one composition (polymers, ranges over a family) and of unclear origin teach nothing.
    t = t[(t["formula"] != "") & t["computed"].isin(["yes", "no"])]
    bulk, shear = _middle(t, "bulk_modulus_gpa"), _middle(t, "shear_modulus_gpa")
    modulus = _middle(t, "youngs_modulus_gpa").where(bulk.isna() | shear.isna())
    labels = {
        "bulk_modulus_gpa": bulk,
        "shear_modulus_gpa": shear,
        "youngs_modulus_gpa": modulus,
        "hardness_gpa": _middle(t, "hardness_gpa"),
    }
    labelled = pd.DataFrame(labels).notna().any(axis=1)
    t = t[labelled]
    glass = t["phase"].str.contains("glass").to_numpy()
    fidelity = np.where(
        (t["computed"] == "yes").to_numpy(),
        FIDELITIES.index("dft_pbe_crystal"),
        np.where(glass, FIDELITIES.index("measured_glass"), FIDELITIES.index("measured_pellet")),
    )
    columns = {k: v[labelled] for k, v in labels.items()}
    yield _Part(t["formula"], np.where(glass, GLASS, CRYSTAL), fidelity, columns, published=UNKNOWN)


def _potential(table: str, phase: int, fidelity: str) -> Iterable[_Part]:
    """Yield what universal potentials computed; a glass's moduli are instantaneous, without flow."""
    if table not in table_names():
        raise TrainingDataError(
            f"there is no table {table} yet; build it with: python -m softlyte.screening.physics.label_tables"
        )
    t = load_table(table, drop_flagged=True)
    labels = {
        "bulk_modulus_gpa": _log10(t["bulk_modulus_gpa"]),
        "shear_modulus_gpa": _log10(t["shear_modulus_gpa"]),
        "density_g_cm3": _log10(t["density_g_cm3"]),
    }
    if phase == CRYSTAL:
        labels["formation_energy_ev_atom"] = t["formation_energy_ev_atom"]
    yield _Part(t["formula"], phase, fidelity, labels)


def _middle(table: pd.DataFrame, column: str) -> pd.Series:
    """Return log10 of the geometric middle of a stated range, NaN unless both ends are known."""
    return (_log10(table[f"{column}_min"]) + _log10(table[f"{column}_max"])) / 2


def evidence_weight(evidence: pd.Series) -> NDArray[np.float64]:
    """Return the weight of cited rows by how close their evidence is to the measurement, [N].

    1 for a source read in full or a curated data set, 0.5 for what another paper states or an open
    database transcribed, 0.25 for third-hand values. The steps are a choice, not a measurement.
    """
    text = evidence.str.lower()
    third = text.str.startswith("third-hand")
    second = text.str.startswith(("second-hand", "statement in another")) | text.str.contains("digest")
    return np.select([third.to_numpy(), second.to_numpy()], [0.25, 0.5], 1.0)


SOURCES: dict[str, Callable[[], Iterable[_Part]]] = {
    "elastic_moduli": _elastic_moduli,
    "formation_energy": _formation_energy,
    "windows_computed": _windows_computed,
    "crystal_volume": _crystal_volume,
    "glass_mechanics": lambda: _glass_part(mechanical=True),
    "glass_properties": lambda: _glass_part(mechanical=False),
    "glass_conductivity": _glass_conductivity,
    "conductivity_obelix": _conductivity_obelix,
    "conductivity_cited": _conductivity_cited,
    "mechanics_cited": _mechanics_cited,
    "potential_crystals": lambda: _potential("potential_crystals", CRYSTAL, "potential_crystal"),
    "potential_glasses": lambda: _potential("potential_glasses", GLASS, "potential_glass"),
}
"""Tables that teach the composition network, the glass table in three parts. Cited glass transitions are
checks and never in here."""

DEFAULT_TABLES = tuple(name for name in SOURCES if not name.startswith("potential_"))
"""Tables that are learned from unless a configuration says otherwise."""


def load_training_rows(
    names: tuple[str, ...] = DEFAULT_TABLES,
    seed: int = 0,
    folds: int = 5,
    published_until: int | None = None,
    leave_out: Sequence[str] = (),
    leave_out_distance: float = 0.0,
) -> TrainingRows:
    """Read and join the tables.

    The folds are by chemical system over all tables at once, so that neither a formula nor a
    near-duplicate is in two folds. They are dealt before rows are left out, and so are the same for every
    year.

    Args:
        names: tables to read, keys of SOURCES.
        seed: of the folds.
        folds: number of folds.
        published_until: leave out what was, or may have been, published after this year: rows of which the
            year is not known too. Computed values have no year and stay. None keeps every row.
        leave_out: formulas that no row may be of, whatever it tells.
        leave_out_distance: nor may it be of a composition within this distance of one
            (`softlyte.datasets.distances`).

    Raises:
        ValueError: an unknown table name.
        FormulaError: a formula to leave out cannot be read.
    """
    unknown = sorted(set(names) - set(SOURCES))
    if unknown:
        raise ValueError(f"no training table {', '.join(unknown)}; there are {', '.join(SOURCES)}")
    rows, systems, published = _joined_tables(names)
    rows = replace(rows, fold=grouped_folds(systems, folds, seed))
    if published_until is None and not leave_out:
        return rows
    keep = np.ones(len(rows), bool) if published_until is None else published <= published_until
    return rows.take(keep & ~within(rows.compositions, _compositions(leave_out), leave_out_distance))


def publication_limits(names: tuple[str, ...] = DEFAULT_TABLES) -> NDArray[np.float64]:
    """Return the latest year in which each row of `load_training_rows(names)` can have been published, [N].

    COMPUTED for values that no paper holds back, NaN where the year is not known.
    """
    return _joined_tables(names)[2].copy()


def _compositions(formulas: Sequence[str]) -> Compositions:
    return Compositions.from_formulas(formulas) if formulas else Compositions.concatenate([])


@lru_cache(maxsize=1)
def _joined_tables(names: tuple[str, ...]) -> tuple[TrainingRows, list[str], NDArray[np.float64]]:
    """Return the rows of the tables, all in fold 0, their chemical systems and latest years."""
    parts = [(number, part) for number, name in enumerate(names) for part in SOURCES[name]()]
    compositions = Compositions.concatenate(
        [Compositions.from_formulas(part.formulas.tolist()) for _, part in parts]
    )
    sizes = [len(part.formulas) for _, part in parts]

    def joined(pick: Callable[[_Part], Any], dtype: type) -> NDArray:
        pairs = zip(parts, sizes, strict=True)
        return np.concatenate([np.broadcast_to(np.asarray(pick(p), dtype), (n,)) for (_, p), n in pairs])

    targets = np.full((len(compositions), len(TARGET_NAMES)), np.nan)
    start = 0
    for (_, part), size in zip(parts, sizes, strict=True):
        for label, values in part.labels.items():
            targets[start : start + size, TARGET_NAMES.index(label)] = values.to_numpy(float)
        start += size
    rows = TrainingRows(
        compositions,
        joined(lambda p: p.phase, np.int64),
        joined(lambda p: _fidelity(p.fidelity), np.int64),
        joined(lambda p: p.temperature_c, np.float64),
        targets,
        joined(lambda p: p.censored, bool),
        joined(lambda p: p.weight, np.float64),
        np.repeat([number for number, _ in parts], sizes),
        np.zeros(len(compositions), np.int64),
        names,
    )
    return rows, list(chemical_systems(compositions)), joined(lambda p: p.published, np.float64)


def _fidelity(value: NDArray[np.int64] | str) -> NDArray[np.int64] | int:
    return FIDELITIES.index(value) if isinstance(value, str) else value


def source_checksums(names: Iterable[str]) -> dict[str, str]:
    """Return the checksum of every table that was trained on."""
    return {name: table_checksum(TABLE_OF.get(name, name)) for name in names}


@dataclass(frozen=True)
class Standardisation:
    """Mean and standard deviation of each target over the training rows, [len(TARGET_NAMES)] each."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    @classmethod
    def fit(cls, rows: TrainingRows) -> Standardisation:
        """Fit on labelled, uncensored rows; a target with fewer than two labels gets mean 0 and sd 1."""
        values = np.where(rows.censored[:, None], np.nan, rows.targets)
        mean, sd = np.zeros(len(TARGET_NAMES)), np.ones(len(TARGET_NAMES))
        known = _label_counts(rows) >= 2
        mean[known], spread = np.nanmean(values[:, known], axis=0), np.nanstd(values[:, known], axis=0)
        sd[known] = np.where(spread > 0, spread, 1.0)
        return cls(mean, sd)


def require_every_target(rows: TrainingRows) -> None:
    """Raise TrainingDataError if a target has no labels to learn from."""
    missing = [name for name, n in zip(TARGET_NAMES, _label_counts(rows), strict=True) if n < 2]
    if missing:
        raise TrainingDataError(f"no training rows for {', '.join(missing)}; add the tables that hold them")


def _label_counts(rows: TrainingRows) -> NDArray[np.int64]:
    return np.asarray((~np.isnan(rows.targets) & ~rows.censored[:, None]).sum(axis=0), np.int64)


assert len(TARGET_NAMES) == len(TARGET_TRANSFORMS)  # noqa: S101 - a table of constants
