"""The screening funnel: generate, cheap filters, network, hull, decision, export.

Candidates stream through in chunks, so memory does not grow with their number. Each tier says how many
it was given, how many it let through, and why the others fell.

The networks rank candidates by the joint probability of all targets but the hull's; of a large space those
that a student of the networks puts first, until more of them change nothing. The best, and the Pareto front
of all that the networks were asked about, get a hull calculation, which replaces the networks' window by the
computed one, adds the energy above the hull and says so in the column `hull_basis`. `settled_ranks` counts
the first ranks that no candidate left behind reaches by the networks' estimate of it.

Every finished piece of the work is kept in the run's folder (`softlyte.screening.chunk_store`): the same
command in the same folder goes on where an earlier one was stopped, and ends with the same files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from softlyte.datasets.columns import CANDIDATE_COLUMNS
from softlyte.datasets.tables import load_card, table_names
from softlyte.models.predictor import Predictor
from softlyte.screening.candidate_files import checksum, read_candidates
from softlyte.screening.candidates import InputSource, Source, SpaceSource
from softlyte.screening.chunk_store import ChunkStore
from softlyte.screening.costing import Costing, default_costing
from softlyte.screening.enumerate import plan_candidates
from softlyte.screening.evaluate import PropertyPredictor
from softlyte.screening.export import REJECTED_FILE, check_writable, write_csv, write_parquet, write_rejected
from softlyte.screening.inputs import InputError, Inputs, RejectedRow, RowBatches, check_batches
from softlyte.screening.report import write_report
from softlyte.screening.run_record import (
    CANDIDATES_FILE,
    FUNNEL_FILE,
    TABLE_FILE,
    RunRecord,
    open_run,
    software,
)
from softlyte.screening.selection import Selector, hull_tier
from softlyte.screening.shortlist import Recall
from softlyte.screening.space import Space, load_space
from softlyte.screening.stage import Stage
from softlyte.screening.stream import Stream, workers_for
from softlyte.screening.targets import Targets, load_targets
from softlyte.screening.tiers import (
    FunnelRow,
    cost_ceiling,
    decision_tier,
    funnel_frame,
    settled_ranks,
    tier_rows,
)

Progress = Callable[[str, int, int], None]
"""Called with the tier's name, candidates done and candidates in all."""


@dataclass(frozen=True)
class ScreenResult:
    """Results of a screening, as they lie in `folder`.

    Attributes:
        folder: holds candidates.csv, candidates.parquet (all candidates with a hull calculation),
            funnel.csv, rejected.csv, run.json and report.html.
        candidates: ranked, CANDIDATE_COLUMNS (and CURRENCY_COLUMNS if asked for).
        funnel: what each tier removed.
        settled_ranks: first ranks that no candidate without a hull calculation reaches by the networks'
            estimate of it; a larger `refine` raises the number.
        recall: what the audit of the student found; None if the networks were asked of every candidate.
        rejected: input rows that were refused or repeat another.
        report: the page written, None if it was left out.
    """

    folder: Path
    candidates: pd.DataFrame
    funnel: list[FunnelRow]
    settled_ranks: int
    recall: Recall | None
    rejected: list[RejectedRow]
    report: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Return folder, counts and funnel as plain values, for JSON; the candidates are in the folder."""
        return {
            "folder": str(self.folder),
            "ranked": len(self.candidates),
            "settled_ranks": self.settled_ranks,
            "refused_or_repeated": len(self.rejected),
            "recall": None if self.recall is None else asdict(self.recall),
            "funnel": [asdict(row) for row in self.funnel],
        }


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
    exhaustive: bool = False,
    report: bool = True,
    verify: int = 0,
    verify_device: str = "cpu",
    scheduler: str | None = None,
    local_workers: int | None = None,
) -> ScreenResult:
    """Screen a space (or own candidates) and write the ranked ones into a folder.

    The same arguments give the same CSV files, byte for byte, on the same machine, also if the run was
    interrupted any number of times and called again.

    Args:
        space: space file or name of a shipped space; None for the default space.
        out: folder for the results (`ScreenResult.folder`) and the finished pieces of the work.
        candidates: own candidates in place of a space: CSV, Parquet, or a folder of CIF, POSCAR or pymatgen
            JSON files; cost removes none of them.
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
        exhaustive: ask the networks of every candidate; else, of a large space, those that a student of the
            networks puts first (`softlyte.screening.shortlist`).
        report: also write report.html, the page of `softlyte.screening.report`.
        verify: first candidates that universal potentials check (`softlyte.screening.physics`); their columns
            are merged into candidates.csv, which is ranked anew. 0 for none.
        verify_device: "cpu" or "cuda", for the potentials.
        scheduler: address of a Dask scheduler whose workers compute; the results are the same.
        local_workers: processes of one thread to start on this machine in its place.

    Raises:
        UserError: space, candidates, targets, weights or folder cannot be used.
    """
    folder = Path(out)
    check_writable(folder)
    counts = {"top": top, "refine": refine, "limit": limit, "local_workers": local_workers}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise InputError(f"{name} is {count}; give a number from 1 up")
    if scheduler is not None and local_workers is not None:
        raise InputError("a scheduler and local workers were given; give one of them")
    if space is not None and candidates is not None:
        raise InputError("a space and a file of candidates were given; give one of them")
    check = _physics(verify, verify_device)
    aims = targets if isinstance(targets, Targets) else load_targets(targets)
    reckoned = default_costing() if costing is None else costing
    rows = None if candidates is None else read_candidates(candidates)
    loaded = load_space(space) if rows is None else None
    clustered = scheduler is not None or local_workers is not None
    if clustered:
        # The workers' device, which this machine need not have.
        device = "cuda" if device == "cuda" else "cpu"
    model = Predictor.load(weights, "cpu" if clustered else device) if predictor is None else predictor
    inputs = None if rows is None else _checked(rows, model, progress)
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
        "exhaustive": exhaustive,
        **({"verify": check} if check else {}),
        "cost_ceiling_usd_kg": None if loaded is None else cost_ceiling(aims, reckoned),
        "device": device if clustered else str(getattr(model, "device", device)),
        "weights_sha256": model.weights_sha256,
        "tables_sha256": {name: load_card(name).sha256 for name in table_names()},
        "software": software(),
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
        stage = Stage(source, model, aims, reckoned, config["cost_ceiling_usd_kg"])
        with workers_for(stage, scheduler, local_workers, device) as workers:
            stream = Stream(workers, ChunkStore(record.chunk_folder))
            result = _run(record, stage, stream, offered, config, progress)
    except BaseException as error:
        record.fail(error)
        raise
    # After the record is finished: whatever happens to the page, the results stand.
    page = write_report(folder) if report else None
    return ScreenResult(folder, *result, rejected, page)


def _physics(count: int, device: str) -> dict[str, Any]:
    """Return how the physics check is set, for the record; refuses before any work what cannot be done."""
    if count < 0:
        raise InputError(f"verify is {count}; give a number of candidates, 0 for none")
    if not count:
        return {}
    from softlyte.screening.physics.potentials import POTENTIALS, check_device, find_potential

    check_device(device)
    weights = {name: find_potential(name).checksum() for name in POTENTIALS}
    return {"candidates": count, "device": device, "weights": weights}


def _checked(rows: RowBatches, model: PropertyPredictor, progress: Progress | None) -> Inputs:
    """Return own candidates, checked batch by batch as they are read."""
    done = 0

    def show(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress("read", done, max(rows.most, done))

    return check_batches(rows.batches, model.known_elements, progress=show)


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
    stage: Stage,
    stream: Stream,
    offered: int,
    config: dict[str, Any],
    progress: Progress | None,
) -> tuple[pd.DataFrame, list[FunnelRow], int, Recall | None]:
    """Send all candidates through the tiers, write the files, complete the record."""
    show = progress or (lambda tier, done, total: None)
    top, refine, count = config["top"], config["refine"], len(stage.source)
    funnel = tier_rows("generate", offered, {"outside the sample (limit)": offered - count})
    forward = getattr(stage.model, "forward_s", 0.0)
    with record.timed("network"):
        selector = Selector(stage, stream, refine, config["seed"], show, record.timed)
        selection = selector.select(config["exhaustive"])
    chosen = len(selection.place)
    funnel += tier_rows("filter", count, selection.removed)
    if selection.recall is not None:
        behind = {"ranked behind by the student of the networks": selection.passed - selection.evaluated}
        funnel += tier_rows("student", selection.passed, behind)
    beaten = f"neither among the best {refine} nor on the Pareto front, without the hull"
    funnel += tier_rows("network", selection.evaluated, {beaten: selection.evaluated - chosen})
    table, settled = pd.DataFrame(columns=[*CANDIDATE_COLUMNS, *stage.costing.currency_names]), 0
    if chosen:
        with record.timed("hull"):
            refined = hull_tier(stream, selection.place, show)
        with record.timed("decision"):
            table = stage.source.named(decision_tier(refined, stage.targets, stage.costing))
            settled = settled_ranks(table["p_all_targets"].to_numpy()[:top], selection.left_behind)
    funnel += tier_rows("hull", chosen, {})
    best = table.head(top)
    if config.get("verify") and len(best):
        from softlyte.screening.physics.rerank import VERIFY_FOLDER, verified_ranking

        with record.timed("verify"):
            best = verified_ranking(
                best,
                config["verify"]["candidates"],
                record.folder / VERIFY_FOLDER,
                stage.model,
                stage.targets,
                stage.costing,
                config["verify"]["device"],
                progress=show,
            )
        # The rows behind the ranked ones were not checked: their new columns stay empty.
        table = pd.concat([best, table.iloc[len(best) :]], ignore_index=True)
    outranked = f"ranked below the best {top}"
    funnel += tier_rows("decision", chosen, {outranked: chosen - len(best)})
    with record.timed("export"):
        write_csv(record.folder / FUNNEL_FILE, funnel_frame(funnel))
        write_parquet(record.folder / TABLE_FILE, table)
        write_csv(record.folder / CANDIDATES_FILE, best)
    # Of all threads of this process together; on a cluster the workers keep theirs to themselves.
    record.add_seconds("forward_all_threads", getattr(stage.model, "forward_s", 0.0) - forward)
    counts: dict[str, Any] = {"candidates": count, "predicted": selection.evaluated, "on_hull": chosen}
    if selection.recall is not None:
        counts |= {"audit_best": selection.recall.best, "audit_chosen": selection.recall.chosen}
        counts["entered_by_round"] = list(selection.recall.entered)
    record.finish(counts | {"ranked": len(best), "settled_ranks": settled})
    return best, funnel, settled, selection.recall


def _origin(space: Space | None, candidates: Path | str | None) -> dict[str, Any]:
    """Return where the candidates come from, for the record."""
    if space is not None:
        return {"space": {"name": space.name, "source": space.source, "sha256": space.sha256}}
    return {"candidates": {"file": str(candidates), "sha256": checksum(str(candidates))}}
