"""The one way to ask the crystal networks: structures in, calibrated distributions out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from softlyte.datasets.columns import FIDELITIES
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER
from softlyte.featurize.crystals import Crystals
from softlyte.models.calibration import Calibration
from softlyte.models.checkpoint import (
    CRYSTAL_FORMAT,
    PRETRAINED_CRYSTALS,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    load_strictly,
    odd_cards_named,
)
from softlyte.models.crystal_fit import predict_crystals
from softlyte.models.crystal_members import in_units
from softlyte.models.crystal_network import CrystalNetworkConfig, GraphConfig, crystal_network
from softlyte.models.crystal_tasks import CRYSTAL_TASKS, among_all_tasks
from softlyte.models.predictions import PropertyPrediction, StructurePredictions
from softlyte.models.predictor import calibrated, choose_device, require_possible
from softlyte.models.support import Support
from softlyte.models.tasks import TARGET_NAMES, YOUNGS_MODULUS
from softlyte.models.training_data import CRYSTAL, Standardisation

PREDICTED = ("bulk_modulus_gpa", "shear_modulus_gpa", YOUNGS_MODULUS, "formation_energy_ev_atom")
"""What the networks say of a structure; its density is known."""

DENSITY_LOG10_SD = 0.01
"""About 2%: thermal expansion, and what relaxed cells of DFT are off."""


class CrystalPredictor:
    """An ensemble of crystal networks with its calibration.

    Args:
        checkpoint: what `load_checkpoint` returned for CRYSTAL_FORMAT.
        device: where to compute.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device | None = None) -> None:
        card = checkpoint.card
        self.card: dict[str, Any] = card
        self.device = device or torch.device("cpu")
        if tuple(card["tasks"]) != CRYSTAL_TASKS:
            raise CheckpointError(
                "the checkpoint predicts other properties of crystals than this Softlyte; "
                "install the Softlyte that wrote it or retrain"
            )
        network, graph = CrystalNetworkConfig(**card["network"]), GraphConfig(**card["graph"])
        self.featurizer = graph.featurizer()
        self.networks = []
        for number, state in enumerate(checkpoint.members):
            member = crystal_network(network, graph)
            load_strictly(member, state, f"member {number} of the checkpoint")
            self.networks.append(member.to(self.device).eval().requires_grad_(False))
        stated = card["standardisation"]
        self.standard = Standardisation(np.array(stated["mean"], float), np.array(stated["sd"], float))
        if not self.standard.mean.shape == self.standard.sd.shape == (len(TARGET_NAMES),):
            raise CheckpointError("the card states no unit for some property; copy it again or retrain")
        self.calibration = Calibration.from_card(card["calibration"])
        self.support = Support.from_card(card["support"])
        self.judges = len(self.networks) // max(1, int(card["config"]["structures"]["folds"]))
        """Members that judged each row of the calibration."""
        self.known_elements = np.zeros(MAX_ATOMIC_NUMBER + 1, bool)
        """[104] True for atomic numbers that training has seen."""
        self.known_elements[card["elements"]] = True

    @classmethod
    def load(cls, folder: Path | str | None = None, device: str = "auto") -> CrystalPredictor:
        """Load an ensemble (None: the shipped one); raises CheckpointError or DeviceError."""
        where = PRETRAINED_CRYSTALS if folder is None else Path(folder)
        chosen, checkpoint = choose_device(device), load_checkpoint(where, CRYSTAL_FORMAT)
        with odd_cards_named(where):
            return cls(checkpoint, chosen)

    @property
    def weights_sha256(self) -> str:
        """Checksum of the weights, for run records."""
        return str(self.card["weights_sha256"])

    def raw(self, crystals: Crystals) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the members' uncalibrated means and standard deviations, [E, N, len(CRYSTAL_TASKS)] each.

        Values as DFT with relaxed cells would give them, in transformed units.

        Args:
            crystals: N structures.
        """
        graphs = self.featurizer.pack(crystals, FIDELITIES.index("dft_pbe_crystal"))
        rows = np.arange(len(crystals))
        found = [in_units(predict_crystals(n, graphs, rows), self.standard) for n in self.networks]
        return np.stack([mean for mean, _ in found]), np.stack([sd for _, sd in found])

    def predict(self, crystals: Crystals) -> StructurePredictions:
        """Return the properties PREDICTED and the density of N structures, [E, N] each.

        A prediction does not depend on what else is in the batch.

        Args:
            crystals: N structures.
        """
        mean, sd = self.raw(crystals)
        require_possible(among_all_tasks(mean, 0.0), among_all_tasks(sd, 1.0))
        if self.judges == 1:
            # The spread was calibrated on single members, whose disagreement was not to be seen.
            mean = np.broadcast_to(mean.mean(axis=0), mean.shape)
        found = calibrated(
            self.calibration,
            self.support,
            crystals.compositions(),
            np.full(len(crystals), CRYSTAL),
            among_all_tasks(mean, 0.0),
            among_all_tasks(sd, 1.0),
        )
        properties = {name: found[name] for name in PREDICTED}
        properties["density_g_cm3"] = known_density(crystals)
        return StructurePredictions(properties, self.calibration.modulus_correlation)


def known_density(crystals: Crystals) -> PropertyPrediction:
    """Return the density that cell and contents of N structures give, one member, [1, N]."""
    mean = np.log10(crystals.densities())[None]
    return PropertyPrediction(mean, np.full_like(mean, DENSITY_LOG10_SD), "log10")
