"""Samples per second of the training loop beside the bare network; writes a section of RESULTS.md.

    python -m benchmarks.training_throughput

On the CPU the clock is this process's processor time on one thread, so that other programs on the machine do
not count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.report import markdown_table, write_section
from softlyte.models.batches import LabelledRows, StageData
from softlyte.models.config import DEFAULT_CONFIG, StageConfig, load_config
from softlyte.models.fit import fit_network
from softlyte.models.loss import MultiTaskLoss
from softlyte.models.module import CompositionModule
from softlyte.models.network import CompositionNetwork
from softlyte.models.predictor import choose_device
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import Standardisation, load_training_rows

TABLES = (
    "elastic_moduli",
    "glass_properties",
    "glass_conductivity",
    "conductivity_obelix",
    "conductivity_cited",
)


def main() -> None:
    """Run the benchmark on rows of four tables, with the shipped configuration."""
    parser = argparse.ArgumentParser(description="training samples per second")
    parser.add_argument("--rows", type=int, default=16_384)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    torch.set_num_threads(1)
    clock: Callable[[], float] = time.process_time if device.type == "cpu" else time.perf_counter

    config = load_config(DEFAULT_CONFIG)
    every = load_training_rows(TABLES)
    rows = every.take(np.random.default_rng(0).permutation(len(every))[: arguments.rows])
    standard = Standardisation.fit(rows)
    n = len(rows)
    data = StageData(
        LabelledRows(rows, standard), np.arange(n), np.ones(n), np.arange(0), config.training.batch_size, 0
    )
    network = CompositionNetwork(config.network).to(device)
    loss = MultiTaskLoss(
        torch.from_numpy(standard.mean), torch.from_numpy(standard.sd), torch.ones(len(TARGET_NAMES))
    ).to(device)
    module = CompositionModule(network, loss, config.training, 1e-3, 10 * data.steps(), 0)
    optimiser = module.configure_optimizers()["optimizer"]
    loader = data.train_dataloader()
    batches = list(loader)
    ready = [(b.graphs.to(device), b.targets.to(device), b.censored.to(device)) for b in batches]

    def bare(step: bool) -> None:
        for graphs, targets, censored in ready:
            network.zero_grad()
            loss(network(graphs), targets, censored).backward()
            if step:
                torch.nn.utils.clip_grad_norm_(network.parameters(), config.training.gradient_clip)
                optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    def rate(work: Callable[[], object], repeats: int = 2) -> float:
        best = np.inf
        for _ in range(repeats):
            start = clock()
            work()
            best = min(best, clock() - start)
        return n / best

    def loop(epochs: int) -> float:
        """Return the time of a whole fit, its start and end included."""
        stage = StageConfig(name="joint", epochs=epochs, learning_rate=1e-3)
        with tempfile.TemporaryDirectory() as folder:
            start = clock()
            fit_network(
                config,
                rows,
                np.ones(n, bool),
                Path(folder),
                0,
                stages=[stage],
                standard=standard,
                accelerator=device.type,
            )
            return clock() - start

    rate(lambda: bare(False), 1)
    bare_rate, stepped = rate(lambda: bare(False)), rate(lambda: bare(True))
    loading = rate(lambda: list(loader))
    whole = 2 * n / (loop(3) - loop(1))
    body = [
        ["bare network: forward, loss and backward on ready batches", f"{bare_rate:,.0f}"],
        ["the same with gradient clipping and AdamW", f"{stepped:,.0f}"],
        ["drawing and building batches alone", f"{loading:,.0f}"],
        ["training loop (`fit_network`, logs and checkpoints included)", f"{whole:,.0f}"],
        ["training loop / bare forward and backward", f"{whole / bare_rate:.0%}"],
    ]
    print(text := markdown_table(["step", "samples/s"], body))
    note = f"{device.type}, 1 thread, {n:,} rows, batches of {config.training.batch_size}"
    write_section("training-speed", f"`python -m benchmarks.training_throughput` ({note})\n\n{text}")


if __name__ == "__main__":
    main()
