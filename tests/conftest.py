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


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory):
    """Hulls are cached in a folder of this run, not in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTLYTE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_ensemble(tmp_path_factory.mktemp("weights") / "tiny")
