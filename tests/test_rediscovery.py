"""Rediscovery: nothing later is learned, what counts as a discovery, ranks, a law of a year, a whole run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.cli.benchmark import _print as print_result
from softlyte.datasets.distances import distances, nearest, within
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.publication_year import LATEST_DELAY, publication_years
from softlyte.datasets.tables import load_table
from softlyte.models.checkpoint import load_checkpoint, load_state, save_checkpoint
from softlyte.models.config import ConfigError, TrainingConfig
from softlyte.models.members import EVALUATED, rows_of
from softlyte.models.run_folder import RESOLVED
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.train import check_start, train
from softlyte.models.training_data import DEFAULT_TABLES, TrainingRows, load_training_rows
from softlyte.screening.enumerate import plan_candidates
from softlyte.screening.parameters import parameters
from softlyte.screening.rediscovery import baselines, benchmark
from softlyte.screening.rediscovery.benchmark import YEARS, RediscoveryError, rediscovery
from softlyte.screening.rediscovery.discoveries import (
    DISCOVERY_MS_CM,
    NEAR_DUPLICATE,
    all_formulas,
    discoveries_after,
    is_halide,
    known_until,
    measurements,
)
from softlyte.screening.rediscovery.ensembles import (
    Effort,
    parameters_until,
    pretraining_config,
    year_config,
)
from softlyte.screening.rediscovery.population import (
    NEIGHBOURHOOD,
    distinct_compositions,
    draw_population,
    plausible_glass,
)
from softlyte.screening.rediscovery.ranks import ranks
from softlyte.screening.rediscovery.scoring import hull_without
from softlyte.screening.space import load_space

SIGMA = TARGET_NAMES.index("sigma_s_cm")
START = Path("pretraining")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return measurements()


def learned(config: TrainingConfig) -> TrainingRows:
    return rows_of(config)


def labels(rows: TrainingRows, name: str) -> Counter[tuple[bytes, float]]:
    """Count the conductivities of a table by composition and value."""
    here = rows.source == rows.sources.index(name)
    keys, values = rows.compositions[here].keys(), rows.targets[here, SIGMA]
    return Counter((key.tobytes(), round(float(v), 4)) for key, v in zip(keys, values, strict=True))


def counted(frame: pd.DataFrame) -> Counter[tuple[bytes, float]]:
    keys = Compositions.from_formulas(frame["formula"]).keys()
    values = frame["log10_sigma_s_cm"]
    return Counter((key.tobytes(), round(float(v), 4)) for key, v in zip(keys, values, strict=True))


# Leakage


@pytest.mark.parametrize("year", YEARS)
def test_no_row_learned_from_is_later_or_like_a_discovery(year: int, table: pd.DataFrame) -> None:
    found = all_formulas(discoveries_after(table, year))
    scored = Compositions.from_formulas(found)
    everything = load_training_rows(tuple(n for n in DEFAULT_TABLES if n != "mechanics_cited"), 0, 3)
    assert within(everything.compositions, scored, NEAR_DUPLICATE).sum() > len(scored) / 2, "there is a leak"

    configs = (year_config(Effort(), year, found, START), pretraining_config(Effort(), year, found))
    for config in configs:
        assert config.data.published_until == year
        assert "mechanics_cited" not in config.data.tables, "its table states no years"
        assert set(found) <= set(config.data.leave_out)
        assert config.data.leave_out_distance >= NEAR_DUPLICATE
        rows = learned(config)
        near = nearest_distance(rows.compositions, scored)
        assert near.min() > NEAR_DUPLICATE

        # What the tables themselves say of the year, row by row.
        cited = load_table("conductivity_cited")
        late = cited[~(cited["year_published"] <= year)]
        early = cited[cited["year_published"] <= year]
        assert len(late) > 10
        assert not labels(rows, "conductivity_cited") - counted(early)
        obelix = load_table("conductivity_obelix")
        stated = publication_years(obelix["doi"]) + LATEST_DELAY
        assert not labels(rows, "conductivity_obelix") - counted(obelix[stated <= year])
        assert labels(rows, "conductivity_obelix")
        assert labels(rows, "conductivity_cited")
        glass = load_table("glass_properties")
        assert glass["year"].max() <= year


def nearest_distance(compositions: Compositions, others: Compositions) -> np.ndarray:
    """Return the least distance by the definition, without the package's own arithmetic."""
    out = np.ones(len(compositions))
    for other in range(len(others)):
        wanted = dict(
            zip(others.atomic_numbers[other].tolist(), others.fractions()[other].tolist(), strict=True)
        )
        wanted.pop(0, None)
        given = np.zeros(104)
        given[list(wanted)] = list(wanted.values())
        numbers, fractions = compositions.atomic_numbers, compositions.fractions()
        shared = np.minimum(fractions, given[numbers]) * (numbers > 0)
        out = np.minimum(out, 1.0 - shared.sum(axis=1))
    return out


def test_the_pretraining_draws_no_conductivity(table: pd.DataFrame) -> None:
    found = all_formulas(discoveries_after(table, min(YEARS)))
    config = pretraining_config(Effort(), min(YEARS), found)
    drawn = {name for stage in config.training.stages for name in stage.passes}
    assert not drawn & {"conductivity_obelix", "conductivity_cited", "glass_conductivity", "distilled"}
    assert all(stage.rows == "train" for stage in config.training.stages)


def test_the_hull_holds_no_phase_like_a_discovery(table: pd.DataFrame) -> None:
    found = all_formulas(discoveries_after(table, min(YEARS)))
    hull = hull_without(found)
    near = nearest_distance(hull.systems.compositions, Compositions.from_formulas(found))
    assert near.min() > NEAR_DUPLICATE
    assert len(hull) > 90_000


def test_every_year_may_start_from_the_shared_pretraining(tmp_path: Path, table: pd.DataFrame) -> None:
    found = {year: discoveries_after(table, year) for year in YEARS}
    everyone = all_formulas(benchmark._once(found))
    earlier = pretraining_config(Effort(), min(YEARS), everyone)
    folder = tmp_path / "pretraining"
    for member in range(3):
        (folder / f"member_{member}").mkdir(parents=True)
        (folder / f"member_{member}" / EVALUATED).touch()
    (folder / RESOLVED).write_text(earlier.model_dump_json())
    for year, those in found.items():
        check_start(year_config(Effort(), year, all_formulas(those), folder), folder)
    with pytest.raises(ConfigError, match="what was published until 2019, later than"):
        check_start(year_config(Effort(), 2018, everyone, folder), folder)
    with pytest.raises(ConfigError, match="may have learned from LiGaI4"):
        check_start(year_config(Effort(), 2021, ("LiGaI4",), folder), folder)
    with pytest.raises(ConfigError, match=r"another data\.folds"):
        check_start(year_config(Effort(members=2), 2021, everyone, folder), folder)
    (folder / "member_2" / EVALUATED).unlink()
    with pytest.raises(ConfigError, match="finish that run first"):
        check_start(year_config(Effort(), 2021, everyone, folder), folder)


def test_own_measurements_have_no_year(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no year of publication"):
        TrainingConfig.model_validate({"data": {"own_data": str(tmp_path), "published_until": 2021}})


# What counts as a discovery


def row(formula: str, sigma: float, year: float, usable: bool = True) -> dict[str, object]:
    return {
        "formula": formula,
        "phase": "crystal",
        "sigma_ms_cm": sigma,
        "earliest": year,
        "latest": year,
        "usable": usable,
    }


def test_discoveries_are_new_fast_halides_and_count_once() -> None:
    rows = pd.DataFrame(
        [
            row("Li3YCl6", 0.5, 2018),
            row("Li3.02YCl6.02", 5.0, 2023),  # as good as known
            row("Li2ZrCl6", 0.4, np.nan),
            row("Li2ZrCl6", 2.0, 2023),  # may have been known
            row("LiTaOCl4", 12.0, 2023),
            row("LiTaO0.99Cl4.02", 9.0, 2022),  # counts as one with it
            row("LiNbOCl4", 0.9, 2023),  # slow
            row("NaTaCl6", 4.0, 2023, usable=False),
            row("Li6PS5Cl", 5.0, 2023),  # no halide
            row("Li10GeP2S12", 12.0, 2023),
            row("Li0.33La0.56TiO2.9F0.1", 2.0, 2023),  # an oxide with a little fluorine
            row("LiAlCl2.5O0.75", 1.5, 2021),  # too early
        ]
    )
    found = discoveries_after(rows, 2021)
    assert [one.formula for one in found] == ["LiTaCl4O"]
    assert found[0].alike == ("LiTaCl4.02O0.99",)
    assert (found[0].year, found[0].sigma_ms_cm) == (2022, 12.0)
    assert "LiAlCl2.5O0.75" in known_until(rows, 2021).formulas()


@pytest.mark.parametrize("year", YEARS)
def test_the_shipped_tables_give_discoveries_after_each_year(year: int, table: pd.DataFrame) -> None:
    found = discoveries_after(table, year)
    assert len(found) >= 10
    assert {"LiTaCl4O", "LiNbCl4O", "LiAlCl2.5O0.75", "NaAlCl2.5O0.75"} <= {one.formula for one in found}
    assert all(one.year > year and one.sigma_ms_cm >= DISCOVERY_MS_CM for one in found)
    compositions = Compositions.from_formulas([one.formula for one in found])
    assert is_halide(compositions).all()
    apart = distances(compositions, compositions) + np.eye(len(found))
    assert apart.min() > NEAR_DUPLICATE


def test_a_doi_may_state_the_year_before_publication() -> None:
    table = measurements()
    quoted = load_table("conductivity_cited").dropna(subset=["year_published"])
    quoted = quoted[quoted["obelix_id"] != ""]
    assert len(quoted) > 10
    late = table[table["latest"] > table["earliest"]]
    assert (late["latest"] - late["earliest"] == LATEST_DELAY).all()


# Distances, candidates, ranks


def test_distance_is_half_the_difference_of_the_fractions() -> None:
    ours = Compositions.from_formulas(["LiCl", "Li3YCl6", "Na2ZrCl6", "Li2ZrCl6"])
    other = Compositions.from_formulas(["Li2Cl2", "Li2ZrCl6"])
    apart = distances(ours, other)
    assert apart[0] == pytest.approx([0.0, 0.5 * (abs(0.5 - 2 / 9) + 1 / 9 + abs(0.5 - 6 / 9))])
    assert np.allclose(apart.min(axis=1), nearest_distance(ours, other))
    place, least = nearest(ours, np.zeros((104, 1)))
    assert place.tolist() == [0] * 4
    assert (least == 1.0).all()
    assert within(ours, other, 0.0).tolist() == [True, False, False, True]
    assert not within(ours, ours[:0], 1.0).any()


def test_population_holds_all_neighbours_and_stands_for_the_space(table: pd.DataFrame) -> None:
    found = discoveries_after(table, 2021)
    spaces = ("doped-li2zrcl6",)
    everything = distinct_compositions(spaces)
    plan = plan_candidates(load_space(spaces[0]))
    assert len(everything) == len(np.unique(plan.chosen(np.arange(len(plan)))[0].groups()))
    drawn = draw_population(found, 500, 0, spaces)
    assert drawn.weight.sum() == pytest.approx(len(everything)) == drawn.total
    near = within(everything, Compositions.from_formulas([one.formula for one in found]), NEIGHBOURHOOD).sum()
    assert (drawn.weight == 1.0).sum() == near > 0
    names = drawn.compositions[drawn.listed].formulas()
    assert names == Compositions.from_formulas([one.formula for one in found]).formulas()
    assert np.allclose(drawn.distance[drawn.listed, np.arange(len(found))], 0.0)
    again = draw_population(found, 500, 0, spaces)
    assert (again.compositions.keys() == drawn.compositions.keys()).all()


def test_glasses_are_plausible_where_the_space_says_so() -> None:
    plan = plan_candidates(load_space("doped-li2zrcl6"))
    compositions, phase = plan.chosen(np.arange(len(plan)))
    group = compositions.groups()
    as_glass = np.isin(group, group[phase == 1])
    assert (plausible_glass(compositions) == as_glass).all()


def test_ranks_count_weights_and_halves_of_ties() -> None:
    rng = np.random.default_rng(0)
    score = rng.integers(0, 6, 40).astype(float)
    score[:3] = -np.inf
    weight = rng.uniform(0.5, 3.0, 40)
    place = np.array([0, 10, 20, 30, 39])
    score[39] = 9.0
    others = np.ones(40, bool)
    others[place] = False
    found = ranks(score, weight, place, others)
    for one, share in zip(place, found.share, strict=True):
        before = weight[others & (score > score[one])].sum()
        before += 0.5 * weight[others & (score == score[one])].sum()
        assert share == pytest.approx(before / weight[others].sum())
    assert found.share[-1] == 0.0
    assert found.enrichment(0.1) == pytest.approx((found.share < 0.1).mean() / 0.1)
    low, high = found.enrichment_interval(0.1)
    assert low <= found.enrichment(0.1) <= high
    assert found.recall(10**6) == 1.0
    with pytest.raises(ValueError, match="nothing to rank among"):
        ranks(score, weight, place, np.zeros(40, bool))


# The law of a year


def test_the_law_of_a_year_forgets_later_pressures() -> None:
    shipped, everything = parameters(), parameters_until(2026)
    assert set(everything) == set(shipped)
    for name, value in everything.items():
        assert value.value == pytest.approx(shipped[name].value, abs=2e-4), name
    none = parameters_until(2019)
    assert none["law_anchor"].value == pytest.approx(shipped["law_anchor"].value, abs=2e-4)
    assert none["law_intercept"].value == pytest.approx(0.0, abs=0.05), "the prior: contact models are right"
    assert none["law_loo_rms"].value == 0.0
    assert none["law_intercept"].value != pytest.approx(shipped["law_intercept"].value, abs=1e-2)
    kept = {name for name in shipped if not name.startswith(("law_", "alkali", "flow_"))}
    assert all(none[name] == shipped[name] for name in kept)


# The whole run


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch, tiny_weights: Path, tmp_path: Path) -> None:
    """Put weights that nobody trained in the place of training."""

    def weights(config: TrainingConfig, folder: Path, device: str, progress: bool) -> Path:
        shipped = load_checkpoint(tiny_weights)
        card = {k: v for k, v in shipped.card.items() if k not in ("members", "weights_sha256")}
        card |= {"published_until": config.data.published_until, "rows": {"all": 1}}
        save_checkpoint(folder / "checkpoint", card, shipped.members)
        return folder / "checkpoint"

    monkeypatch.setattr(benchmark, "trained", weights)
    monkeypatch.setattr(benchmark, "pretrained", lambda config, folder, device, progress: folder)
    monkeypatch.setattr(benchmark, "RANDOM_SEEDS", 5)
    monkeypatch.setattr(benchmark, "SEEDS", 1)
    monkeypatch.setattr(baselines, "TREES", 5)


@pytest.mark.usefixtures("untrained")
def test_a_run_reports_every_method_and_discovery(
    tmp_path: Path, table: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"out": tmp_path / "run", "years": (2021,), "sample": 150, "spaces": ("sodium",)}
    result = rediscovery(**asked, device="cpu")  # type: ignore[arg-type]
    found = discoveries_after(table, 2021)
    year = result.summary["years"]["2021"]
    assert year["published_until"] == 2021
    assert year["discoveries"] == len(found) == len(result.discoveries)
    assert set(year["methods"]) == {
        "joint probability",
        "conductivity only",
        "cost only",
        "ExtraTrees",
        "nearest known electrolyte",
        "nearest known conductor",
        "random",
    }
    assert year["methods"]["random"]["median_percent"] == pytest.approx(50, abs=25)
    percent = result.discoveries["percent_joint_probability"]
    assert percent.between(0, 100).all()
    assert json.loads((tmp_path / "run" / "rediscovery.json").read_text()) == result.summary
    # A property known to be met moves no discovery down.
    for stands in year["held_back"].values():
        assert (np.array(stands["told"]["percent"]) <= percent.to_numpy() + 1e-9).all()

    judged = (tmp_path / "run" / "judged_2021.npz").stat().st_mtime_ns
    again = rediscovery(**asked, device="cpu")  # type: ignore[arg-type]
    assert (tmp_path / "run" / "judged_2021.npz").stat().st_mtime_ns == judged
    assert again.summary == result.summary

    capsys.readouterr()
    print_result(result)
    printed = capsys.readouterr().out
    assert all(name in printed for name in year["methods"])
    assert json.loads(json.dumps(result.to_dict()))["folder"] == str(tmp_path / "run")


def test_the_command_says_what_cannot_be_run(tmp_path: Path) -> None:
    words = ["benchmark", "rediscovery", "--out", str(tmp_path / "run"), "--year", "2090"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "no discovery after 2090; give an earlier year" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"years": ()}, "no year was given"),
        ({"sample": 0}, "sample of 1 or more"),
        ({"effort": Effort(members=1)}, "2 members or more"),
        ({"years": (2090,)}, "no discovery after 2090"),
        ({"years": (1990,)}, "no conductor of 1 mS/cm that was published until 1990"),
    ],
)
def test_what_cannot_be_run_is_refused(asked: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(RediscoveryError, match=says):
        rediscovery(tmp_path / "run", **asked)  # type: ignore[arg-type]


# Last: it reads other tables than the tests above, which share theirs


def test_the_card_of_trained_weights_states_the_year(tmp_path: Path) -> None:
    tables = [name for name in DEFAULT_TABLES if name not in ("crystal_volume", "glass_properties")]
    few = dict.fromkeys(tables, 0.01)
    config = TrainingConfig.model_validate(
        {
            "network": {"width": 16, "layers": 1, "heads": 2, "head_width": 8, "trunk_layers": 1},
            "training": {
                "batch_size": 256,
                "stages": [{"name": "joint", "epochs": 1, "learning_rate": 2e-3, "passes": few}],
            },
            "ensemble": {"members": 2, "processes": 1},
            "data": {"tables": tables, "folds": 2, "published_until": 2021, "leave_out": ["LiTaOCl4"]},
        }
    )
    first = train(config, tmp_path / "first", device="cpu", progress=False)
    assert first.checkpoint is not None
    card = load_checkpoint(first.checkpoint).card
    assert card["published_until"] == 2021
    assert card["config"]["data"]["leave_out"] == ["LiTaOCl4"]
    assert card["rows"]["all"] == len(rows_of(config)) < len(load_training_rows(tuple(tables), folds=2))

    # A stage that hardly learns ends where it began: with the earlier run's member, not with random weights.
    still = config.training.stages[0].model_copy(update={"learning_rate": 1e-9})
    update = {"start": str(tmp_path / "first"), "stages": (still,)}
    start = config.model_copy(update={"training": config.training.model_copy(update=update), "seed": 7})
    rest = train(start, tmp_path / "second", device="cpu", progress=False, calibrated=False)
    assert rest.checkpoint is None
    for member in ("member_0", "member_1"):
        before = load_state(tmp_path / "first" / member / EVALUATED)
        after = load_state(tmp_path / "second" / member / EVALUATED)
        assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in before)
