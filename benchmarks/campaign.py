"""Simulated campaigns on measured conductivities: how soon the fast conductors are found.

python -m benchmarks.campaign [--seeds 20]

A laboratory looks for conductors above TARGET_MS_CM among materials that others have measured (OBELiX, cited
panel), a batch at a time. What it knows of a material before measuring it is what networks say that have
not seen the conductivity of any material of its chemical system (benchmarks.measured), and what the campaign
itself has measured so far, through the residual process. Nothing else enters: the networks' errors on other
rows, and the calibration that was fitted to them, do not.

Each seed draws SHARE of the materials as what can be made, and the random numbers of the policies.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from benchmarks.baselines import RESULTS
from benchmarks.measured import load_measured
from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.writing import write_bytes
from softlyte.models.residual_process import ResidualProcess
from softlyte.screening.batch import FURTHER, choose_batch, success_given

TARGET_MS_CM = 3.0
BATCH, ROUNDS = 8, 24
SHARE = 0.7
FIGURE = Path(__file__).parent.parent / "docs" / "campaign.svg"
Array = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """M materials: what is true of them, and what networks that have not seen them say.

    Attributes:
        compositions: M compositions.
        phase: [M] index into columns.PHASES.
        value: [M] log10 S/cm, the median of repeats.
        mean, sd: [M] of the networks that have not seen the material's chemical system.
    """

    compositions: Compositions
    phase: NDArray[np.int64]
    value: Array
    mean: Array
    sd: Array

    def __len__(self) -> int:
        return len(self.value)

    def take(self, rows: Places) -> World:
        """Return the chosen materials."""
        return World(
            self.compositions[rows], self.phase[rows], self.value[rows], self.mean[rows], self.sd[rows]
        )

    def hits(self) -> NDArray[np.bool_]:
        """Return which materials are what the campaign looks for, [M]."""
        return self.value >= np.log10(TARGET_MS_CM * 1e-3)


def load_world() -> World:
    """Return the materials with a measured value (upper bounds are left out), repeats joined."""
    measured = load_measured()
    rows, value = measured.rows, measured.value()
    mean, sd = measured.out_of_fold("chemical system")
    known = ~np.isnan(value)
    key = np.unique(rows.compositions.keys(), return_inverse=True)[1].ravel() * 2 + rows.phase
    places, medians = [], []
    for one in np.unique(key[known]):
        here = np.flatnonzero(known & (key == one))
        places.append(here[0])
        medians.append(np.median(value[here]))
    place = np.array(places)
    spread = np.sqrt((sd[:, place] ** 2).mean(axis=0) + mean[:, place].var(axis=0))
    return World(
        rows.compositions[place], rows.phase[place], np.array(medians), mean[:, place].mean(axis=0), spread
    )


def updated(world: World, seen: Places, left: Places) -> tuple[Array, Array, ResidualProcess]:
    """Return mean and standard deviation of what is left after what was seen, two [L], and the process."""
    if not len(seen):
        return world.mean[left], world.sd[left], ResidualProcess.unmeasured()
    z = (world.value[seen] - world.mean[seen]) / world.sd[seen]
    process = ResidualProcess.fit(world.compositions[seen], world.phase[seen], z)
    shift, factor = process.predict(world.compositions[left], world.phase[left])
    return world.mean[left] + shift * world.sd[left], world.sd[left] * factor, process


def at_random(world: World, seen: Places, left: Places, rng: np.random.Generator) -> Places:
    """Choose a batch by lot."""
    return rng.permutation(left)[:BATCH]


def by_networks(world: World, seen: Places, left: Places, rng: np.random.Generator) -> Places:
    """Choose what the networks call fastest; the campaign teaches nothing."""
    return left[np.argsort(-world.mean[left], kind="stable")[:BATCH]]


def greedily(world: World, seen: Places, left: Places, rng: np.random.Generator) -> Places:
    """Choose what is called fastest after what was measured."""
    mean, _, _ = updated(world, seen, left)
    return left[np.argsort(-mean, kind="stable")[:BATCH]]


def as_proposed(
    world: World, seen: Places, left: Places, rng: np.random.Generator, further: float = FURTHER
) -> Places:
    """Choose as `softlyte propose` does, by what the successes of a batch are worth together."""
    mean, sd, process = updated(world, seen, left)
    chance = ndtr((mean - np.log10(TARGET_MS_CM * 1e-3)) / sd)
    covariance = process.common_covariance(world.compositions[left], world.phase[left])
    success = success_given(chance, covariance, draws=256, seed=int(rng.integers(2**31)))
    return left[choose_batch(success, BATCH, further).chosen]


def first_success(world: World, seen: Places, left: Places, rng: np.random.Generator) -> Places:
    """Choose the batch that most probably holds at least one success."""
    return as_proposed(world, seen, left, rng, further=0.0)


POLICIES: dict[str, Callable[[World, Places, Places, np.random.Generator], Places]] = {
    "random": at_random,
    "networks alone, fastest first": by_networks,
    "greedy, with the campaign's own measurements": greedily,
    "probability of at least one hit a batch": first_success,
    "softlyte propose": as_proposed,
}


def campaign(world: World, policy: str, seed: int) -> Array:
    """Return the share of the hits that is found after each experiment, [BATCH * ROUNDS]."""
    rng = np.random.default_rng(seed)
    made = world.take(np.sort(rng.permutation(len(world))[: round(SHARE * len(world))]))
    hits = made.hits()
    seen, left = np.zeros(0, np.int64), np.arange(len(made))
    for _ in range(ROUNDS):
        batch = POLICIES[policy](made, seen, left, rng)
        seen, left = np.concatenate([seen, batch]), np.setdiff1d(left, batch)
    return np.asarray(np.cumsum(hits[seen]) / hits.sum())


def needed(found: Array, share: float) -> float:
    """Return how many experiments it took to find a share of the hits; infinity if they were too few."""
    reached = np.flatnonzero(found >= share - 1e-12)
    return float(reached[0] + 1) if len(reached) else np.inf


def saved(curves: dict[str, Array], against: str, share: float = 0.5) -> str:
    """Return the experiments that `softlyte propose` saves, seed by seed.

    A campaign that never gets there counts as one that would with its next experiment.
    """
    pairs = zip(curves[against], curves["softlyte propose"], strict=True)
    limit = BATCH * ROUNDS + 1.0
    gaps = np.array([min(needed(a, share), limit) - min(needed(b, share), limit) for a, b in pairs])
    low, middle, high = np.quantile(gaps, [0.1, 0.5, 0.9], method="nearest")
    return (
        f"against *{against}* {middle:.0f} (10-90% of the seeds: {low:.0f} to {high:.0f}; "
        f"fewer experiments in {(gaps > 0).sum()} of {len(gaps)} seeds)"
    )


def table(curves: dict[str, Array], world: World) -> str:
    """Return the Markdown table: experiments to a share of the hits, median and range over the seeds."""
    goals = (("first", 1e-9), ("a quarter", 0.25), ("half", 0.5), ("80%", 0.8))
    limit = BATCH * ROUNDS

    def shown(values: Array) -> str:
        def one(v: float) -> str:
            return f"{v:.0f}" if np.isfinite(v) else f">{limit}"

        low, high = np.quantile(values, [0.1, 0.9], method="nearest")
        return f"{one(float(np.quantile(values, 0.5, method='nearest')))} ({one(low)}-{one(high)})"

    body = []
    for name, found in curves.items():
        cells = [shown(np.array([needed(f, share) for f in found])) for _, share in goals]
        after = found[:, 8 * BATCH - 1]
        body.append([name, *cells, f"{after.mean():.2f} ± {after.std():.2f}"])
    head = ["policy", *(f"{goal} of the hits" if i else "first hit" for i, (goal, _) in enumerate(goals))]
    head.append(f"share found after {8 * BATCH}")
    text = markdown_table(head, body)
    others = [name for name in POLICIES if name != "softlyte propose"]
    lines = [f"Experiments saved to half of the hits: {'; '.join(saved(curves, name) for name in others)}."]
    made = round(SHARE * len(world))
    lines.append(
        f"{len(world)} materials, {made} of them drawn for each of {len(curves['random'])} seeds; "
        f"{int(world.hits().sum())} conduct at least {TARGET_MS_CM:g} mS/cm. Batches of {BATCH}."
    )
    return text + "\n\n" + " ".join(lines)


def draw(curves: dict[str, Array], path: Path) -> None:
    """Draw the share of the hits found against the number of experiments, mean and 10-90% of the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "softlyte"
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for (name, found), style in zip(
        curves.items(), ("0.6", "tab:orange", "tab:green", "tab:purple", "tab:blue"), strict=True
    ):
        x = np.arange(1, found.shape[1] + 1)
        axis.plot(x, found.mean(axis=0), color=style, label=name)
        low, high = np.quantile(found, [0.1, 0.9], axis=0)
        axis.fill_between(x, low, high, color=style, alpha=0.15, linewidth=0)
    axis.set(
        xlabel="experiments",
        ylabel=f"share of the conductors above {TARGET_MS_CM:g} mS/cm found",
        ylim=(0, 1),
    )
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="simulated campaigns on measured conductivities")
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    world = load_world()
    curves = {}
    for name in POLICIES:
        curves[name] = np.stack([campaign(world, name, seed) for seed in range(seeds)])
        print(name, "done", flush=True)
    kept = {name: found.round(4).tolist() for name, found in curves.items()}
    write_bytes(RESULTS / "campaign.json", (json.dumps(kept) + "\n").encode())
    text = table(curves, world)
    print(text)
    write_section("campaign", text)
    draw(curves, FIGURE)


if __name__ == "__main__":
    main()
