"""The screening funnel: generate, cheap filters, network, hull, decision, export.

Candidates stream through in chunks, so memory does not grow with their number. Each tier says how many
it was given, how many it let through, and why the others fell.

The networks rank everything by the joint probability of all targets but the hull's. The best get a hull
calculation, which replaces the networks' window by the computed one, adds the energy above the hull and
says so in the column `hull_basis`. `settled_ranks` counts the first ranks that no candidate left behind
reaches by the networks' estimate of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from softlyte.datasets.columns import CANDIDATE_COLUMNS
from softlyte.datasets.tables import load_card, table_names
from softlyte.models.predictor import Predictor
from softlyte.screening.candidates import Candidates, InputSource, Source, SpaceSource
from softlyte.screening.costing import Costing, default_costing
from softlyte.screening.enumerate import plan_candidates
from softlyte.screening.evaluate import PropertyPredictor, default_hull, evaluate
from softlyte.screening.export import REJECTED_FILE, check_writable, write_csv, write_rejected
from softlyte.screening.inputs import InputError, Inputs, RejectedRow, check_rows, read_rows
from softlyte.screening.ranking import TopRows
from softlyte.screening.run_record import CANDIDATES_FILE, FUNNEL_FILE, RunRecord, open_run
from softlyte.screening.space import Space, load_space
from softlyte.screening.targets import Targets, load_targets
from softlyte.screening.tiers import (
    FunnelRow,
    cost_ceiling,
    decision_tier,
    filter_tier,
    funnel_frame,
    network_tier,
    settled_ranks,
    tier_rows,
)

CHUNK_ROWS = 16_384
"""Candidates in memory at once in the streaming tiers."""

Progress = Callable[[str, int, int], None]
"""Called with the tier's name, candidates done and candidates in all."""


@dataclass(frozen=True)
class ScreenResult:
    """Results of a screening, as they lie in `folder`.

    Attributes:
        folder: holds candidates.csv, funnel.csv, rejected.csv and run.json.
        candidates: ranked, CANDIDATE_COLUMNS (and CURRENCY_COLUMNS if asked for).
        funnel: what each tier removed.
        settled_ranks: first ranks that no candidate without a hull calculation reaches by the networks'
            estimate of it; a larger `refine` raises the number.
        rejected: input rows that were refused or repeat another.
    """

    folder: Path
    candidates: pd.DataFrame
    funnel: list[FunnelRow]
    settled_ranks: int
    rejected: list[RejectedRow]


def screen(
    space: Path | str | None = None,
    out: Path | str = "screen-out",
    candidates: Path | str | None = None,
    targets: Targets | Path | str | None = None,
    top: int = 10_000,
    refine: int = 20_000,
    limit: int | None = None,
    device: str = "auto",
    seed: int = 0,
    weights: Path | str | None = None,
    overwrite: bool = False,
    predictor: PropertyPredictor | None = None,
    progress: Progress | None = None,
    costing: Costing | None = None,
) -> ScreenResult:
    """Screen a space (or own candidates) and write the ranked ones into a folder.

    The same arguments give the same CSV files, byte for byte, on the same machine.

    Args:
        space: space file or name of a shipped space; None for the default space.
        out: folder for candidates.csv, funnel.csv, rejected.csv and run.json.
        candidates: CSV of own candidates in place of a space; cost removes none of them.
        targets: loaded targets or a TOML file; None for the shipped ones.
        top: ranked candidates to write.
        refine: best candidates, by the network alone, that get the hull calculation; at least `top`.
        limit: screen a random sample of a space of this size, or the first own candidates.
        device: "auto", "cpu" or "cuda".
        seed: of the sample that `limit` draws.
        weights: folder of trained weights; None for the shipped ones.
        overwrite: replace another run's results in the folder.
        predictor: an ensemble already loaded, in place of `weights`.
        progress: see `Progress`.
        costing: prices, route and layer (`softlyte.screening.costing.load_costing`); None for the shipped
            prices.

    Raises:
        UserError: space, candidates, targets, weights or folder cannot be used.
    """
    folder = Path(out)
    check_writable(folder)
    for name, count in (("top", top), ("refine", refine), ("limit", limit)):
        if count is not None and count < 1:
            raise InputError(f"{name} is {count}; give a number of candidates from 1 up")
    if space is not None and candidates is not None:
        raise InputError("a space and a file of candidates were given; give one of them")
    aims = targets if isinstance(targets, Targets) else load_targets(targets)
    reckoned = default_costing() if costing is None else costing
    rows = None if candidates is None else read_rows(candidates)
    loaded = load_space(space) if rows is None else None
    model = Predictor.load(weights, device) if predictor is None else predictor
    inputs = None if rows is None else check_rows(rows, model.known_elements)
    config = {
        "command": "screen",
        **_origin(loaded, candidates),
        "targets": [target.model_dump() for target in aims.target],
        "conditions": asdict(aims.working_conditions()),
        "costing": reckoned.record(),
        "top": top,
        "refine": max(refine, top),
        "limit": limit,
        "seed": seed,
        "cost_ceiling_usd_kg": None if loaded is None else cost_ceiling(aims, reckoned),
        "device": str(getattr(model, "device", device)),
        "weights_sha256": model.weights_sha256,
        "tables_sha256": {name: load_card(name).sha256 for name in table_names()},
    }
    record = open_run(folder, config, overwrite)
    rejected = [] if inputs is None else inputs.rejected
    try:
        write_rejected(folder, rejected)
        with record.timed("generate"):
            source, offered = _source(loaded, inputs, limit, seed)
        if not len(source):
            raise InputError(
                f"none of the rows of {candidates} can be used; {folder / REJECTED_FILE} says why"
            )
        result = _run(record, source, offered, model, aims, reckoned, config, progress)
    except BaseException as error:
        record.fail(error)
        raise
    return ScreenResult(folder, *result, rejected)


def _source(space: Space | None, inputs: Inputs | None, limit: int | None, seed: int) -> tuple[Source, int]:
    """Return the candidates to screen and how many there were before the limit."""
    if space is not None:
        plan = plan_candidates(space)
        return SpaceSource(plan, limit, seed), len(plan)
    if inputs is None:
        raise ValueError("there is neither a space nor a list of candidates; give one of them")
    return InputSource(inputs, limit), len(inputs.phase)


def _run(
    record: RunRecord,
    source: Source,
    offered: int,
    model: PropertyPredictor,
    targets: Targets,
    costing: Costing,
    config: dict[str, Any],
    progress: Progress | None,
) -> tuple[pd.DataFrame, list[FunnelRow], int]:
    """Send all candidates through the tiers, write the files, complete the record."""
    show = progress or (lambda tier, done, total: None)
    funnel = tier_rows("generate", offered, {"outside the sample (limit)": offered - len(source)})
    best, removed, done = TopRows(config["refine"]), Counter[str](), 0
    ceiling = config["cost_ceiling_usd_kg"]

    def score(start: int) -> _Scored:
        chunk = source.rows(start, start + CHUNK_ROWS)
        left, cost, fallen = filter_tier(chunk, model.known_elements, ceiling, costing)
        return _Scored(left, network_tier(left, cost, model, targets, costing), fallen, len(chunk))

    with record.timed("network"):
        for scored in _in_parallel(score, range(0, len(source), CHUNK_ROWS), model):
            best.offer(scored.probability, scored.candidates)
            removed += scored.removed
            done += scored.offered
            show("network", done, len(source))
    _, chosen = best.best()
    funnel += tier_rows("filter", len(source), removed)
    predicted = funnel[-1].left
    beaten = f"not among the best {config['refine']} without the hull"
    funnel += tier_rows("network", predicted, {beaten: predicted - len(chosen)})
    table, settled = pd.DataFrame(columns=[*CANDIDATE_COLUMNS, *costing.currency_names]), 0
    if len(chosen):
        distinct, solved = len(np.unique(chosen.compositions.keys())), 0

        def advance(rows: int) -> None:
            nonlocal solved
            solved += rows
            show("hull", solved, distinct)

        with record.timed("hull"):
            evaluation = evaluate(
                chosen.compositions,
                chosen.phase,
                model,
                default_hull(),
                advance,
                targets.working_conditions(),
                costing,
            )
        with record.timed("decision"):
            table = decision_tier(evaluation, chosen.place, targets, config["top"])
            settled = settled_ranks(table["p_all_targets"].to_numpy(), best.left_behind)
    funnel += tier_rows("hull", len(chosen), {})
    outranked = f"ranked below the best {config['top']}"
    funnel += tier_rows("decision", len(chosen), {outranked: len(chosen) - len(table)})
    with record.timed("export"):
        write_csv(record.folder / FUNNEL_FILE, funnel_frame(funnel))
        write_csv(record.folder / CANDIDATES_FILE, table)
    counts = {"candidates": len(source), "predicted": predicted, "on_hull": len(chosen)}
    record.finish(counts | {"ranked": len(table), "settled_ranks": settled})
    return table, funnel, settled


@dataclass(frozen=True)
class _Scored:
    """One chunk after the filter and network tiers."""

    candidates: Candidates
    probability: NDArray[np.float64]
    removed: Counter[str]
    offered: int


def _in_parallel(
    score: Callable[[int], _Scored], starts: Sequence[int], model: PropertyPredictor
) -> Iterator[_Scored]:
    """Yield score(start) for each start, in order, a few at a time.

    On a CPU each chunk runs on one thread and as many chunks at once as torch has threads: the operations
    are too small to be shared out, and a result does not depend on the number of threads. Few chunks are
    under way at once, so memory stays bounded.
    """
    device = getattr(model, "device", None)
    threads = torch.get_num_threads()
    workers = 1 if device is not None and device.type == "cuda" else threads
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[Future[_Scored]] = deque()
            try:
                for start in starts:
                    waiting.append(pool.submit(score, start))
                    if len(waiting) > 2 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                # After an error or an interruption nothing that has not begun is begun.
                for future in waiting:
                    future.cancel()
    finally:
        torch.set_num_threads(threads)


def _origin(space: Space | None, candidates: Path | str | None) -> dict[str, Any]:
    """Return where the candidates come from, for the record."""
    if space is not None:
        return {"space": {"name": space.name, "source": space.source, "sha256": space.sha256}}
    with Path(str(candidates)).open("rb") as handle:
        return {
            "candidates": {
                "file": str(candidates),
                "sha256": hashlib.file_digest(handle, "sha256").hexdigest(),
            }
        }
