"""Residual processes, and adapting weights to a laboratory's measurements."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.distances import distances
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions
from softlyte.models import adaptation as module
from softlyte.models.adaptation import ADAPTATION, TENSORS, adapt
from softlyte.models.checkpoint import CheckpointError
from softlyte.models.predictor import Predictor
from softlyte.models.residual_process import ResidualProcess, kernel_of
from softlyte.screening.own_data import add_measurements

RUNNER = CliRunner()
SERIES = [f"Li{2 + x:g}Zr{1 - x:g}Y{x:g}Cl6" for x in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)]
LAB = "\n".join(
    [
        "formula,phase,conductivity (mS/cm),modulus (GPa),oxidation (V),temperature (C)",
        *(f"{formula},crystal,{10 ** (-6 + 0.1 * i):g},{20 + i},4.2,25" for i, formula in enumerate(SERIES)),
        "LiAlCl2.5O0.75,glass,<0.1,,,25",
    ]
)


def process(formulas, z, share=0.8, reach=0.2, phase=0):
    n = len(formulas)
    return ResidualProcess(
        Compositions.from_formulas(formulas),
        np.full(n, phase),
        np.array(z),
        np.full(n, 1 - share),
        share,
        reach,
    )


def test_far_from_every_row_nothing_changes():
    fitted = process(["LiCl", "Li3YCl6"], [2.0, 2.0])
    mean, sd = fitted.predict(Compositions.from_formulas(["K2SO4"]), 0)
    assert (mean[0], sd[0]) == (0.0, 1.0)
    mean, sd = fitted.predict(Compositions.from_formulas(["LiCl"]), 1)
    assert (mean[0], sd[0]) == (0.0, 1.0), "the other phase is another material"


def test_near_a_row_the_mean_moves_and_the_interval_narrows_with_the_distance():
    fitted = process(SERIES[:1], [2.0])
    mean, sd = fitted.predict(Compositions.from_formulas(SERIES), 0)
    assert mean[0] == pytest.approx(0.8 * 2.0, rel=1e-6)
    assert sd[0] == pytest.approx(np.sqrt(1 - 0.8**2), rel=1e-6)
    assert (np.diff(mean) < 0).all()
    assert (np.diff(sd) > 0).all()


def test_leaving_out_is_the_same_as_not_having_measured():
    rng = np.random.default_rng(0)
    formulas = [*SERIES, SERIES[0]]
    fitted = process(formulas, rng.normal(size=len(formulas)))
    mean, sd = fitted.leave_one_out()
    for row in (0, 4):
        rest = np.array([f != formulas[row] for f in formulas])
        without = replace(
            fitted,
            compositions=fitted.compositions[rest],
            phase=fitted.phase[rest],
            z=fitted.z[rest],
            noise=fitted.noise[rest],
        )
        expected = without.predict(fitted.compositions[np.array([row])], 0)
        assert mean[row] == pytest.approx(expected[0][0], abs=1e-6)
        assert sd[row] == pytest.approx(expected[1][0], abs=1e-6)


def test_distances_are_those_of_the_results():
    a = Compositions.from_formulas(["LiCl", "LiBr", "Li3YCl6"])
    assert np.allclose(np.diag(distances(a, a)), 0, atol=1e-12)
    assert distances(a, a)[0, 1] == pytest.approx(0.5)
    assert np.allclose(distances(a, a), distances(a, a).T)


@pytest.mark.parametrize(("true_share", "low", "high"), [(0.01, 0.0, 0.5), (0.9, 0.7, 1.0)])
def test_the_fit_finds_how_much_neighbours_share(true_share, low, high):
    rng = np.random.default_rng(1)
    formulas = [f"Li{a}Zr{b}Cl{c}" for a in range(1, 8) for b in range(1, 5) for c in range(3, 9)]
    compositions = Compositions.from_formulas(formulas)
    n = len(formulas)
    near = kernel_of(distances(compositions, compositions), 0.2)
    kernel = true_share * near + (1 - true_share) * np.eye(n)
    fitted = ResidualProcess.fit(
        compositions, np.zeros(n, int), np.linalg.cholesky(kernel) @ rng.normal(size=n)
    )
    assert low < fitted.share < high


def test_too_narrow_intervals_are_widened_by_what_left_out_rows_say():
    compositions = Compositions.from_formulas(SERIES)
    calm = ResidualProcess.fit(compositions, np.zeros(10, int), np.full(10, 0.5))
    wild = ResidualProcess.fit(compositions, np.zeros(10, int), np.tile([4.0, -4.0], 5))
    assert calm.widening == 1.0
    assert wild.widening > 1.5
    assert wild.predict(compositions, 0)[1].max() > 1.0


def test_parts_give_the_same_process_back():
    fitted = process(SERIES, np.linspace(-1, 1, 10))
    back = ResidualProcess.from_parts(*fitted.to_parts())
    asked = Compositions.from_formulas(["Li2.25Zr0.75Y0.25Cl6"])
    assert np.array_equal(back.predict(asked, 0), fitted.predict(asked, 0))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    (folder / "lab.csv").write_text(LAB)
    add_measurements(folder / "lab.csv", folder / "own", source="book 1")
    return folder / "own"


@pytest.fixture
def adapted(lab, tiny_weights, tmp_path):
    return adapt(lab, tmp_path / "adapted", tiny_weights, "cpu")


def test_predictions_move_near_the_measured_rows_alone(adapted, tiny_weights):
    folder, checks, remarks = adapted
    before, after = Predictor.load(tiny_weights, "cpu"), Predictor.load(folder, "cpu")
    near = Compositions.from_formulas(["Li2.25Zr0.75Y0.25Cl6"])
    far = Compositions.from_formulas(["Na3PS4"])
    zero = np.zeros(1, int)
    measured = -9.0 + 0.25
    for name, target in (("sigma_s_cm", measured), ("youngs_modulus_gpa", np.log10(22.5))):
        old, new = before.predict(near, zero)[name], after.predict(near, zero)[name]
        assert abs(new.mean()[0] - target) < 0.5 * abs(old.mean()[0] - target)
        old, new = before.predict(far, zero)[name], after.predict(far, zero)[name]
        assert new.mean()[0] == old.mean()[0], "no element is shared"
    ratio = [
        p.predict(near, zero)["bulk_modulus_gpa"].mean() - p.predict(near, zero)["shear_modulus_gpa"].mean()
        for p in (before, after)
    ]
    assert ratio[0] == pytest.approx(ratio[1]), "a residual of E leaves K/G as it was"
    for name in ("density_g_cm3", "oxidation_v", "glass_transition_k"):
        assert np.array_equal(before.predict(near, zero)[name].mean(), after.predict(near, zero)[name].mean())
    assert {check.property for check in checks} == {"sigma_s_cm", "youngs_modulus_gpa"}
    assert all(check.mae_after < check.mae_before for check in checks)
    assert any("upper bounds" in remark for remark in remarks)
    assert any("kinetic" in remark for remark in remarks)
    assert before.weights_sha256 != after.weights_sha256, "run records tell them apart"


def test_adapting_again_starts_from_the_networks(adapted, lab, tmp_path):
    folder, checks, _ = adapted
    _, again, _ = adapt(lab, tmp_path / "again", folder, "cpu")
    assert again == checks


@pytest.mark.parametrize("damage", ["json", "tensors", "no json", "other weights", "version"])
def test_damaged_adaptations_are_refused(adapted, damage):
    folder = adapted[0]
    path = folder / ADAPTATION
    content = json.loads(path.read_text())
    if damage == "json":
        path.write_text("{")
    elif damage == "tensors":
        blob = bytearray((folder / TENSORS).read_bytes())
        blob[-1] ^= 1
        (folder / TENSORS).write_bytes(blob)
    elif damage == "no json":
        path.unlink()
    else:
        changed = {"weights_sha256": "0" * 64} if damage == "other weights" else {"format_version": 9}
        path.write_text(json.dumps(content | changed))
    with pytest.raises(CheckpointError, match=r"adaptation"):
        Predictor.load(folder, "cpu")


def test_a_property_that_left_out_rows_speak_against_is_left_as_it_is(tiny_weights, tmp_path):
    # Neighbours that contradict each other at every step say nothing of the next one.
    rows = [f"{f},crystal,{10 ** (-4 + 3 * (-1) ** i):g}" for i, f in enumerate(SERIES)]
    (tmp_path / "m.csv").write_text("\n".join(["formula,phase,conductivity (mS/cm)", *rows]))
    add_measurements(tmp_path / "m.csv", tmp_path / "own", source="b")
    with pytest.raises(UserError, match="rows left out came out worse"):
        adapt(tmp_path / "own", tmp_path / "out", tiny_weights, "cpu")


def test_too_few_rows_and_wrong_folders_are_one_sentence(tiny_weights, tmp_path, lab):
    (tmp_path / "m.csv").write_text("formula,phase,conductivity (mS/cm)\nLiCl,crystal,1e-6\n")
    add_measurements(tmp_path / "m.csv", tmp_path / "own", source="b")
    with pytest.raises(UserError, match=f"at least {module.FEWEST_ROWS} are needed"):
        adapt(tmp_path / "own", tmp_path / "out", tiny_weights, "cpu")
    with pytest.raises(UserError, match="holds the weights to adapt"):
        adapt(lab, tiny_weights, tiny_weights, "cpu")
    with pytest.raises(UserError, match="there are no measurements"):
        adapt(tmp_path / "nothing", tmp_path / "out", tiny_weights, "cpu")


def test_command_line_adapts_and_the_weights_predict(lab, tiny_weights, tmp_path):
    out = tmp_path / "out"
    result = RUNNER.invoke(
        app,
        [
            "adapt",
            "--own-data",
            str(lab),
            "--out",
            str(out),
            "--weights",
            str(tiny_weights),
            "--device",
            "cpu",
        ],
    )
    assert result.exit_code == 0, result.output
    assert "sigma_s_cm" in result.stdout
    assert "adapted" in result.stdout
    assert f"--weights {out}" in " ".join(result.stderr.split())
    said = RUNNER.invoke(
        app,
        [
            "predict",
            "Li2ZrCl6",
            "--phase",
            "crystal",
            "--weights",
            str(out),
            "--device",
            "cpu",
            "--format",
            "csv",
        ],
    )
    assert said.exit_code == 0, said.output
