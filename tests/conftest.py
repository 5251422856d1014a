from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

TINY_ELEMENTS = (
    "Li",
    "Na",
    "O",
    "F",
    "Al",
    "S",
    "P",
    "Cl",
    "Ti",
    "Br",
    "Y",
    "Zr",
    "Nb",
    "In",
    "I",
    "La",
    "Ta",
)
"""What the tiny ensemble claims to have been trained on."""


def save_tiny_ensemble(folder: Path) -> Path:
    """Write a checkpoint of two small networks with fixed random weights: quick, real in every other way."""
    import torch
    from pymatgen.core import Element

    from softlyte.datasets.columns import PHASES
    from softlyte.models.calibration import Calibration
    from softlyte.models.checkpoint import save_checkpoint
    from softlyte.models.network import CompositionNetwork, NetworkConfig
    from softlyte.models.support import ANIONS, ENOUGH_ROWS, Support
    from softlyte.models.tasks import TASK_NAMES, TASKS

    torch.manual_seed(0)
    config = NetworkConfig.model_validate({"width": 16, "layers": 1, "heads": 2})
    members = [CompositionNetwork(config).state_dict() for _ in range(2)]
    shape = (len(PHASES), len(TASKS))
    spread = np.tile(np.linspace(0.0, 1.0, 101), (len(PHASES), 1))
    mean = [1.4, 1.0, -4.0, -2.0, 3.8, 1.0, 0.4, 0.0, 500.0]
    sd = [0.4, 0.4, 1.5, 0.8, 0.8, 0.8, 0.2, 0.4, 100.0]
    card = {
        "name": "tiny test ensemble",
        "tasks": list(TASK_NAMES),
        "network": config.model_dump(),
        "standardisation": {"mean": mean, "sd": sd},
        "elements": sorted(Element(symbol).Z for symbol in TINY_ELEMENTS),
        "calibration": replace(Calibration.neutral(), disagreement=spread, modulus_correlation=0.8).to_card(),
        "support": Support(
            np.full((*shape, len(ANIONS) + 1), ENOUGH_ROWS), np.zeros(shape), np.zeros(len(TASKS))
        ).to_card(),
    }
    save_checkpoint(folder, card, members)
    return folder


def save_tiny_crystal_ensemble(folder: Path) -> Path:
    """Write a checkpoint of two small networks on structures with fixed random weights."""
    import torch
    from pymatgen.core import Element

    from softlyte.datasets.columns import PHASES
    from softlyte.models.calibration import Calibration
    from softlyte.models.checkpoint import CRYSTAL_FORMAT, save_checkpoint
    from softlyte.models.crystal_network import CrystalNetworkConfig, GraphConfig, crystal_network
    from softlyte.models.crystal_tasks import CRYSTAL_TASKS
    from softlyte.models.support import ANIONS, ENOUGH_ROWS, Support
    from softlyte.models.tasks import TARGET_NAMES, TASK_NAMES, TASKS

    torch.manual_seed(0)
    network = CrystalNetworkConfig(width=16, layers=1, radial=4, head_width=8, order=1)
    graph = GraphConfig(neighbours=8, angle_neighbours=0)
    members = [crystal_network(network, graph).state_dict() for _ in range(2)]
    shape = (len(PHASES), len(TASKS))
    mean, sd = np.zeros(len(TARGET_NAMES)), np.ones(len(TARGET_NAMES))
    for name, centre, spread in (
        ("bulk_modulus_gpa", 1.4, 0.3),
        ("shear_modulus_gpa", 1.0, 0.3),
        ("formation_energy_ev_atom", -2.0, 0.5),
    ):
        mean[TASK_NAMES.index(name)], sd[TASK_NAMES.index(name)] = centre, spread
    card = {
        "name": "tiny test ensemble of crystal networks",
        "tasks": list(CRYSTAL_TASKS),
        "network": network.model_dump(),
        "graph": graph.model_dump(),
        "config": {"structures": {"folds": 1}},
        "standardisation": {"mean": mean.tolist(), "sd": sd.tolist()},
        "elements": sorted(Element(symbol).Z for symbol in TINY_ELEMENTS),
        "calibration": replace(Calibration.neutral(), modulus_correlation=0.7).to_card(),
        "support": Support(
            np.full((*shape, len(ANIONS) + 1), ENOUGH_ROWS), np.zeros(shape), np.zeros(len(TASKS))
        ).to_card(),
    }
    save_checkpoint(folder, card, members, CRYSTAL_FORMAT)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory):
    """Hulls are cached in a folder of this run, not in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTLYTE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_ensemble(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture(scope="session")
def tiny_crystal_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_crystal_ensemble(tmp_path_factory.mktemp("crystal_weights") / "tiny")


HOSTILE_TEXTS = (
    "</script><script>window.attacked=1</script>",
    '"><img src=x onerror=window.attacked=1>',
    "<!--<script>",
    "'; window.attacked=1; //",
    "{{ 7 * 7 }} ${window.attacked=1}",
    "名前 \u2028\u2029\u202e & <b>bold</b>",
    "<a href='javascript:window.attacked=1'>x</a>",
)
"""What a note, a file name or a hand-edited formula could hold."""


def write_run(folder: Path, rows: int, texts: tuple[str, ...] = ()) -> Path:
    """Write the folder of a made-up screening; `texts` go into every place that holds text."""
    import json

    import pandas as pd

    from softlyte.datasets.columns import CANDIDATE_COLUMNS, COLUMNS
    from softlyte.screening.targets import load_targets

    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    formulas = [
        f"Li{1 + i % 7}{('Al', 'Zr', 'Nb', 'Ta')[i % 4]}Cl{4 + i % 9}O{0.5 + i % 5}" for i in range(rows)
    ]
    table: dict[str, object] = {
        "rank": np.arange(1, rows + 1),
        "formula": formulas,
        "mobile_ion": "Li",
        "family": [("oxychloride", "chloride")[i % 2] for i in range(rows)],
        "phase": [("glass", "crystal")[i % 3 == 0] for i in range(rows)],
        "p_all_targets": np.sort(random.uniform(0.0, 0.4, rows))[::-1],
        "nearest_known": [("LiAlCl2.5O0.75", "Li3YCl6")[i % 2] for i in range(rows)],
        "flags": "extrapolation; cost: estimated price of Li2O",
        "pareto_front": np.arange(rows) % 11 == 0,
        "precursor_route": "0.5 Li2O + 0.8333 AlCl3 - 0.1 H2O",
        "decomposition_products": "LiCl + Al2O3",
    }
    for name in CANDIDATE_COLUMNS:
        if name in table or name.endswith(("_lower", "_upper")):
            continue
        if COLUMNS[name].predicted:
            middle = random.lognormal(0.5, 0.8, rows)
            table[name], table[f"{name}_lower"], table[f"{name}_upper"] = middle, middle * 0.5, middle * 2.0
        elif name.startswith(("p_", "distance", "applicability")):
            table[name] = random.uniform(0.0, 1.0, rows)
        else:
            table[name] = "known"
    frame = pd.DataFrame(table)[list(CANDIDATE_COLUMNS)]
    for place, text in enumerate(texts):
        for name in ("formula", "family", "phase", "nearest_known", "flags", "precursor_route", "hull_basis"):
            frame.loc[place, name] = text
        frame.loc[place, "decomposition_products"] = text
    frame.to_csv(folder / "candidates.csv", index=False, float_format="%.6g")
    funnel = [("generate", 2 * rows, rows, rows, texts[0] if texts else "outside the sample (limit)")]
    pd.DataFrame(funnel, columns=["tier", "in", "out", "removed", "reason"]).to_csv(
        folder / "funnel.csv", index=False
    )
    (folder / "rejected.csv").write_text("row,value,reason\n", encoding="utf-8")
    targets = load_targets()
    record = {
        "softlyte": "0.0",
        "status": "finished",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
        "config": {
            "candidates": {"file": texts[0] if texts else "mine.csv", "sha256": "0" * 64},
            "targets": [target.model_dump() for target in targets.target],
            "weights_sha256": "a" * 64,
            "tables_sha256": {texts[1] if texts else "prices_cited": "b" * 64},
        },
        "environment": {"python": texts[2] if texts else "3.11"},
        "timings_s": {"total": 1.0},
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.fixture
def made_up_run(tmp_path: Path):
    """Return a function (rows, texts) that writes the folder of a made-up screening."""
    return lambda rows, texts=(): write_run(tmp_path / f"run-{rows}-{len(texts)}", rows, texts)


@pytest.fixture(scope="session")
def hostile_texts() -> tuple[str, ...]:
    return HOSTILE_TEXTS


@pytest.fixture
def materials_project(monkeypatch: pytest.MonkeyPatch):
    """Run a stand-in for the Materials Project (tests/support/mp_stand_in.py), its key in the environment."""
    pytest.importorskip("mp_api", reason="mp-api is not installed; pip install 'softlyte[mp]'")
    from mp_stand_in import KEY, stand_in

    with stand_in() as server:
        monkeypatch.setenv("MP_API_KEY", KEY)
        monkeypatch.setenv("MP_API_ENDPOINT", server.url)
        yield server
