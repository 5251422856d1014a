"""Evaluation protocols: nothing of what is predicted has been learned from."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from benchmarks import protocols
from benchmarks.grouped_folds import LARGE, SYSTEMS
from benchmarks.protocols import FAMILY_HOLD_OUTS, MODULI, SIGMA, SODIUM, Split
from benchmarks.runner import pooled
from softlyte.datasets.formulas import Compositions, chemical_systems
from softlyte.datasets.publication_year import publication_years
from softlyte.datasets.splits import matbench_folds
from softlyte.datasets.tables import load_table
from softlyte.models.training_data import TrainingDataError, TrainingRows, load_training_rows

CONDUCTIVITY = (
    protocols.obelix,
    protocols.obelix_folds,
    protocols.families_left_out,
    protocols.time_split,
)


Make = Callable[[TrainingRows], list[Split]]
Splits = Callable[[Make], list[Split]]


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    return load_training_rows()


@pytest.fixture(scope="module")
def splits_of(rows: TrainingRows) -> Splits:
    return cache(lambda make: make(rows))


def keys(rows: TrainingRows) -> set[bytes]:
    return set(map(bytes, rows.compositions.keys()))


@pytest.mark.parametrize("make", [*CONDUCTIVITY, protocols.matbench], ids=lambda f: f.__name__)
def test_the_shared_pretraining_sees_nothing_that_a_split_may_not(
    rows: TrainingRows, splits_of: Splits, make: Make
) -> None:
    shared = protocols.shared_pretraining(rows)
    assert shared.sum() > 200_000
    for split in splits_of(make):
        assert not (shared & ~split.used).any(), split.name


def test_the_shared_pretraining_has_no_modulus_and_no_conductivity_of_a_halide(rows: TrainingRows) -> None:
    seen = rows.take(protocols.shared_pretraining(rows))
    assert not protocols.labelled(seen, MODULI).any()
    conducting = seen.take(protocols.labelled(seen, [SIGMA]))
    assert set(np.array(seen.sources)[conducting.source]) == {"glass_conductivity"}
    for halogen in ("F", "Cl", "Br", "I"):
        assert not conducting.compositions.amount_of(halogen).any()


@pytest.mark.parametrize("make", CONDUCTIVITY, ids=lambda f: f.__name__)
def test_no_conductivity_of_a_test_composition_is_learned(
    rows: TrainingRows, splits_of: Splits, make: Make
) -> None:
    for split in splits_of(make):
        learned = rows.take(split.used & protocols.labelled(rows, [SIGMA]))
        assert len(learned) > 20_000
        assert not keys(learned) & keys(split.test), split.name


def test_matbench_tests_every_official_row_once_and_learns_from_the_other_folds(
    rows: TrainingRows, splits_of: Splits
) -> None:
    splits = splits_of(protocols.matbench)
    table = load_table("elastic_moduli")
    fold = matbench_folds(len(table))
    for number, split in enumerate(splits):
        expected = table[fold == number]
        assert (split.test.targets[:, 0] == expected["log10_bulk_modulus_gpa"]).all()
        assert (split.test.targets[:, 1] == expected["log10_shear_modulus_gpa"]).all()
        assert split.test.compositions.formulas() == expected["formula"].tolist()
        learned = rows.take(split.used & protocols.labelled(rows, MODULI))
        official = learned.take(protocols.of_table(learned, "elastic_moduli"))
        others = table[(fold != number) & (table["flag"] == "")]
        assert official.compositions.formulas() == others["formula"].tolist()
        foreign = learned.take(~protocols.of_table(learned, "elastic_moduli"))
        assert not keys(foreign) & keys(split.test)
    assert sum(split.extra["flagged"].sum() for split in splits) == (table["flag"] != "").sum()
    assert len(pooled(splits)) == len(table) == 10_987


def test_obelix_tests_all_121_official_rows(rows: TrainingRows, splits_of: Splits) -> None:
    (split,) = splits_of(protocols.obelix)
    assert len(split.test) == 121
    assert split.test.censored.sum() == 8
    folds = pooled(splits_of(protocols.obelix_folds))
    assert len(folds) == 478
    assert folds.censored.sum() == 29


def test_obelix_folds_do_not_touch_the_official_test(rows: TrainingRows, splits_of: Splits) -> None:
    official = keys(splits_of(protocols.obelix)[0].test)
    for split in splits_of(protocols.obelix_folds):
        assert not official & keys(rows.take(split.used & protocols.labelled(rows, [SIGMA])))


def test_a_family_left_out_is_left_out_of_every_table(rows: TrainingRows, splits_of: Splits) -> None:
    splits = {split.name: split for split in splits_of(protocols.families_left_out)}
    panel, _ = protocols.cited_panel(rows)
    for name in (*FAMILY_HOLD_OUTS, SODIUM):
        split = splits[name.replace(" ", "_")]
        learned = rows.take(split.used & protocols.labelled(rows, [SIGMA]))
        assert not protocols.hold_out_class(learned.compositions, name).any()
        assert protocols.hold_out_class(split.test.compositions, name).all()
    anions = [len(splits[name.replace(" ", "_")].test) for name in FAMILY_HOLD_OUTS]
    assert sum(anions) == len(panel)


def test_hold_outs_are_the_families_that_their_names_say() -> None:
    compositions = Compositions.from_formulas(
        ["Li3YCl6", "LiTaOCl4", "NaAlCl4", "Li2O", "Na2Si2O5", "Li3YBr6"]
    )
    assert list(protocols.hold_out_class(compositions, "chlorides")) == [
        True,
        False,
        True,
        False,
        False,
        False,
    ]
    assert list(protocols.hold_out_class(compositions, "oxychlorides")) == [False, True, *[False] * 4]
    assert list(protocols.hold_out_class(compositions, SODIUM)) == [False, False, True, False, False, False]
    assert protocols.hold_out_class(compositions, "bromides and iodides").sum() == 1


def test_time_split_learns_from_the_past_and_predicts_what_came_later(
    rows: TrainingRows, splits_of: Splits
) -> None:
    (split,) = splits_of(protocols.time_split)
    year, sigma = protocols.row_years(rows), protocols.labelled(rows, [SIGMA])
    assert (split.extra["year"] >= 2022).all()
    assert len(split.test) == (sigma & (year >= 2022)).sum() > 30
    assert (year[split.used & sigma] <= 2021).all()
    assert np.isnan(year[sigma]).any()  # rows without a year: on neither side


@pytest.mark.parametrize("by", ["chemical system", "reduced formula"])
def test_grouped_folds_share_no_group(rows: TrainingRows, by: str) -> None:
    splits = protocols.grouped(rows, by)
    assert sum(len(split.test) for split in splits) == len(rows)
    compositions = rows.compositions
    names = compositions.keys() if by == "reduced formula" else np.array(chemical_systems(compositions))
    group = np.unique(names, return_inverse=True)[1].ravel()
    for split in splits:
        assert not np.isin(group[split.used], np.unique(group[~split.used])).any()
        assert (split.test.compositions.amounts == compositions.amounts[~split.used]).all()


def test_the_folds_by_chemical_system_are_those_of_the_training_run(rows: TrainingRows) -> None:
    for number, split in enumerate(SYSTEMS.splits(rows)):
        assert (split.used == (rows.fold != number)).all()
    assert set(LARGE) <= {task.target for task in SYSTEMS.tasks}


def test_rows_that_do_not_line_up_with_their_table_are_an_error(rows: TrainingRows) -> None:
    other = load_training_rows(("elastic_moduli", "conductivity_obelix", "conductivity_cited"))
    short = other.take(np.arange(1, len(other)))
    with pytest.raises(TrainingDataError, match="elastic_moduli are not its rows"):
        protocols.matbench(short)


@pytest.mark.parametrize(
    ("doi", "year"),
    [
        ("10.1002/adma.201803075", 2018),
        ("10.1002/1521-3765(20020118)8:2<349::aid-chem349>3.0.co;2-5", 2002),
        ("10.1016/j.ssi.2014.07.018", 2014),
        ("10.1016/0167-2738(83)90223-0", 1983),
        ("10.1016/s0167-2738(00)00277-0", 2000),
        ("10.1007/s11581-006-0011-9", 2006),
        ("10.1038/s41560-023-01356-y", 2023),
        ("10.1021/acs.chemmater.0c04150", 2020),
        ("10.1021/acs.chemmater.8b01504", 2018),
        ("10.1021/acsami.6b03070", 2016),
        ("10.1021/cm980736j", 1998),
        ("10.1021/ic030208w", 2003),
        ("10.1021/cm5037524", 2014),
        ("10.1039/C3DT52917G", 2013),
        ("10.1039/b301189e", 2003),
        ("10.1039/a800234g", 1998),
        ("10.1107/s0567740877009443", 1977),
        ("10.1111/j.1551-2916.2005.00060.x", 2005),
        ("10.3389/fchem.2020.562549", 2020),
        ("10.1016/j.ssi.2014.07.018|10.1016/j.ssi.2016.07.010", 2016),
    ],
)
def test_year_that_a_doi_states(doi: str, year: int) -> None:
    assert publication_years([doi])[0] == year


@pytest.mark.parametrize(
    "doi", ["", "10.1149/1.2086597", "10.1126/sciadv.abh1896", "10.1039/c4ta05231e|10.1149/1.1"]
)
def test_a_doi_without_a_year_has_none(doi: str) -> None:
    assert np.isnan(publication_years([doi])).all()


@pytest.mark.parametrize("by", ["reduced formula", "chemical system"])
def test_measured_folds_hold_every_measured_row_once_and_leak_nothing(rows: TrainingRows, by: str) -> None:
    splits = protocols.measured_folds(rows, by)
    places = np.concatenate([split.extra["place"] for split in splits])
    assert len(np.unique(places)) == len(places)
    measured = protocols.of_table(rows, *protocols.MEASURED) & protocols.labelled(rows, [protocols.SIGMA])
    assert np.array_equal(np.sort(places), np.flatnonzero(measured))
    sigma = protocols.labelled(rows, [protocols.SIGMA])
    for split in splits:
        seen = rows.compositions[sigma & split.used]
        if by == "reduced formula":
            assert not np.isin(seen.keys(), split.test.compositions.keys()).any()
        else:
            assert not set(chemical_systems(seen)) & set(chemical_systems(split.test.compositions))
        assert split.used[~sigma].all(), "other properties may be learned"
