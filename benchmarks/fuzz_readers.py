"""Every reader of a user's files, with valid inputs, what it does with one, and the command that reads it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks import fuzz_inputs as inputs
from benchmarks.fuzz_judge import Fault, Reader
from softlyte.datasets.cards import read_card
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions, normalise_formula
from softlyte.datasets.own.measurements import read_measurements
from softlyte.datasets.own.store import load_own
from softlyte.featurize.crystal_files import read_crystal_files
from softlyte.featurize.entries import read_entries
from softlyte.models.checkpoint import CARD, WEIGHTS, check_resumable, file_sha256
from softlyte.models.config import load_config
from softlyte.models.crystal_config import load_crystal_config
from softlyte.models.predictor import Predictor
from softlyte.models.tuning_config import load_tuning
from softlyte.screening.candidate_files import read_candidates
from softlyte.screening.costing import load_costing
from softlyte.screening.enumerate import plan_candidates
from softlyte.screening.inputs import InputRows, check_batches, rows_from_formulas
from softlyte.screening.own_data import add_measurements
from softlyte.screening.own_solid import OwnModuli
from softlyte.screening.physics.job_folder import JobFolder
from softlyte.screening.run_record import RUN_FILE, open_run
from softlyte.screening.space import load_space
from softlyte.screening.targets import load_targets

KNOWN = np.ones(MAX_ATOMIC_NUMBER + 1, dtype=bool)
LARGEST_SPACE = 50_000
"""Spaces that could hold more are read, not enumerated."""


# What each reader does with an input.


def _written(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


def _accounted(batches: Iterable[InputRows], expected: int | None = None) -> str:
    """Check that each row that was read is a result or refused with a reason, and none is both."""
    read = list(batches)
    given = [number for rows in read for number in (*rows.row, *(r.row for r in rows.rejected))]
    if len(set(given)) < len(given):
        raise Fault("a row was read twice")
    if expected is not None and len(given) != expected:
        raise Fault(f"{expected} rows in the file, {len(given)} read or refused")
    found = check_batches(read, KNOWN)
    kept, refused = set(found.row.tolist()), {r.row for r in found.rejected}
    if kept | refused != set(given) or kept & refused:
        raise Fault(f"rows {sorted(set(given) ^ (kept | refused))[:5]} are neither results nor refused")
    if not all(r.reason.strip() for r in found.rejected):
        raise Fault("a row was refused without a reason")
    if not np.isfinite(found.compositions.fractions()).all():
        raise Fault("a composition is not finite")
    return "accepted" if not refused else "partly" if kept else "refused"


def _formula(content: bytes, folder: Path) -> str:
    text = content.decode("utf-8", "surrogateescape")
    with contextlib.suppress(UserError):
        written = normalise_formula(text)
        if normalise_formula(written) != written:
            raise Fault(f"{written} is no normal form of itself")
    return _accounted([rows_from_formulas([text, "LiCl"])], 2)


def _candidates(content: bytes, folder: Path) -> str:
    rows = read_candidates(_written(content, folder / "candidates.csv"))
    text = content.decode("utf-8-sig", "surrogateescape").lstrip("\r\n")
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    next(lines)
    return _accounted(rows.batches, sum(any(cell.strip() for cell in line) for line in lines))


def _parquet(content: bytes, folder: Path) -> str:
    return _accounted(read_candidates(_written(content, folder / "candidates.parquet")).batches)


def _measurements(content: bytes, folder: Path) -> str:
    path = _written(content, folder / "mine.csv")
    read = read_measurements(path)
    added = add_measurements(path, folder / "own", "", False)
    repeated = len(added.comparison.repeated)
    if len(added.new) + repeated != len(read):
        raise Fault(f"{len(read)} rows, {len(added.new)} added and {repeated} repeated")
    if added.version is not None and len(load_own(folder / "own")) != len(added.new):
        raise Fault("the folder does not hold what was added")
    return "accepted"


def _prices(content: bytes, folder: Path) -> str:
    costing = load_costing(_written(content, folder / "prices.csv"))
    cost = costing.cost(Compositions.from_formulas(["LiAlCl4", "Li2ZrCl6"]))
    if not ((cost.usd_kg > 0) | np.array([bool(reason) for reason in cost.reason])).all():
        raise Fault(f"costs {cost.usd_kg} without a reason")
    return "accepted"


def _entries(name: str) -> Callable[[bytes, Path], str]:
    def read(content: bytes, folder: Path) -> str:
        entries = read_entries(_written(content, folder / name))
        if len(entries.compositions) != len(entries.energies) or not np.isfinite(entries.energies).all():
            raise Fault("energies that are none")
        return "accepted"

    return read


def _tensor(content: bytes, folder: Path) -> str:
    moduli = OwnModuli.from_tensor(_written(content, folder / "tensor.txt"))
    if not 0 < moduli.shear_gpa < np.inf:
        raise Fault(f"a shear modulus of {moduli.shear_gpa} GPa")
    return "accepted"


def _space(content: bytes, folder: Path) -> str:
    space = load_space(_written(content, folder / "space.toml"))
    if space.count_upper_bound() <= LARGEST_SPACE:
        plan = plan_candidates(space)
        if len(plan.rows(0, len(plan)).compositions) != len(plan):
            raise Fault("the plan and its rows differ")
    return "accepted"


def _toml(load: Callable[[Path], Any]) -> Callable[[bytes, Path], str]:
    def read(content: bytes, folder: Path) -> str:
        pq.write_table(pa.table({"x": [1]}), folder / "labels.parquet")
        load(_written(content, folder / "given.toml"))
        return "accepted"

    return read


def _structures(name: str) -> Callable[[bytes, Path], str]:
    def read(content: bytes, folder: Path) -> str:
        reading = read_crystal_files([_written(content, folder / name)])
        kept, refused = len(reading.crystals), len(reading.failures)
        if kept + refused < 1 or len(reading.names) != kept:
            raise Fault("a file gave neither a crystal nor a reason")
        if not all(failure.reason.strip() for failure in reading.failures):
            raise Fault("a file was refused without a reason")
        return "accepted" if not refused else "partly" if kept else "refused"

    return read


@lru_cache(maxsize=1)
def _tiny() -> tuple[bytes, bytes]:
    """Return weights and card of a small ensemble."""
    import sys
    import tempfile

    sys.path.insert(0, str(inputs.ROOT / "tests"))
    try:
        from conftest import save_tiny_ensemble
    finally:
        sys.path.pop(0)
    with tempfile.TemporaryDirectory() as folder:
        save_tiny_ensemble(Path(folder))
        return (Path(folder) / WEIGHTS).read_bytes(), (Path(folder) / CARD).read_bytes()


def _weights_folder(folder: Path, weights: bytes | None = None, card: bytes | None = None) -> Path:
    """Write a folder of weights; the card vouches for weights that are not the card's own."""
    whole = _tiny()
    (folder / WEIGHTS).write_bytes(whole[0] if weights is None else weights)
    (folder / CARD).write_bytes(whole[1] if card is None else card)
    if weights is not None:
        vouched = json.loads(whole[1]) | {"weights_sha256": file_sha256(folder / WEIGHTS)}
        (folder / CARD).write_text(json.dumps(vouched))
    return folder


def _predicted(folder: Path) -> str:
    predictor = Predictor.load(folder, "cpu")
    with np.errstate(all="ignore"):
        predictor.predict(Compositions.from_formulas(["Li3YCl6", "LiAlCl4"]), np.array([0, 1]))
    return "accepted"


def _weights(content: bytes, folder: Path) -> str:
    return _predicted(_weights_folder(folder, weights=content))


def _card(content: bytes, folder: Path) -> str:
    return _predicted(_weights_folder(folder, card=content))


def _state(content: bytes, folder: Path) -> str:
    check_resumable(_written(content, folder / "last.ckpt"))
    return "accepted"


def _table_card(content: bytes, folder: Path) -> str:
    read_card(_written(content, folder / "exchange_rates.yaml"))
    return "accepted"


def _history(content: bytes, folder: Path) -> str:
    own = folder / "own"
    add_measurements(_written(inputs.encoded(inputs.MEASUREMENTS)[0], folder / "mine.csv"), own, "", False)
    _written(content, own / "history.jsonl")
    load_own(own)
    return "accepted"


def _record(content: bytes, folder: Path) -> str:
    _written(content, folder / RUN_FILE)
    open_run(folder, {"seed": 1}).finish({})
    return "accepted"


def _job(content: bytes, folder: Path) -> str:
    _written(content, folder / "job.json")
    JobFolder(folder, {"potential": "diep"})
    return "accepted"


def _state_bytes() -> tuple[bytes, ...]:
    buffer = io.BytesIO()
    torch.save({"state_dict": {"x": torch.zeros(2)}, "epoch": 3}, buffer)
    return (buffer.getvalue(),)


def _parquet_bytes() -> tuple[bytes, ...]:
    buffer = io.BytesIO()
    table = pa.table(
        {"formula": ["Li3YCl6", "LiAlCl4", "AlCl3", None], "phase": ["crystal", "glass", "", ""]}
    )
    pq.write_table(table, buffer)
    return (buffer.getvalue(),)


def _table_cards() -> tuple[bytes, ...]:
    tables = inputs.ROOT / "datasets" / "tables"
    return ((tables / "exchange_rates.yaml").read_bytes(),)


def _texts(*texts: str) -> Callable[[], tuple[bytes, ...]]:
    return lambda: inputs.encoded(texts)


# The command lines that read the same.


def _file(name: str, *words: str) -> Callable[[bytes, Path], list[str]]:
    """Return a function that writes an input and puts its name for FILE, that of weights for WEIGHTS."""

    def command(content: bytes, folder: Path) -> list[str]:
        path = _written(content, folder / name)
        (folder / "weights").mkdir()
        given = {"FILE": str(path), "FOLDER": str(folder / "out")}
        if "WEIGHTS" in words:
            given["WEIGHTS"] = str(_weights_folder(folder / "weights"))
        return [given.get(word, word) for word in words]

    return command


def _formula_words(content: bytes, folder: Path) -> list[str]:
    text = content.decode("utf-8", "surrogateescape").replace("\0", "")
    (folder / "weights").mkdir()
    place = str(_weights_folder(folder / "weights"))
    return ["predict", "--weights", place, "--out", str(folder / "out.csv"), "--", text, "LiCl"]


def _weights_words(content: bytes, folder: Path) -> list[str]:
    return ["predict", "LiAlCl4", "--weights", str(_weights_folder(folder, weights=content))]


def _card_words(content: bytes, folder: Path) -> list[str]:
    return ["predict", "LiAlCl4", "--weights", str(_weights_folder(folder, card=content))]


_PREDICT = ("predict", "--weights", "WEIGHTS")
_ROWS = (*_PREDICT, "--file", "FILE", "--format", "csv")
_AIMED = (*_PREDICT, "LiAlCl4", "--targets", "FILE")
_ADD = ("data", "add", "FILE", "--to", "FOLDER")
_COST = ("cost", "LiAlCl4", "--prices", "FILE")
_DESCRIBE = ("space", "describe", "FILE")
_STRUCTURE = ("pressure", "--weights", "WEIGHTS", "--json", "--structure", "FILE")

READERS = (
    Reader("formula", _texts(*inputs.FORMULAS), _formula, _formula_words, 2000),
    Reader("candidates", _texts(*inputs.CANDIDATES), _candidates, _file("c.csv", *_ROWS), 1000),
    Reader("parquet", _parquet_bytes, _parquet, None, 250),
    Reader("measurements", _texts(*inputs.MEASUREMENTS), _measurements, _file("m.csv", *_ADD), 500),
    Reader("prices", _texts(*inputs.PRICES), _prices, _file("p.csv", *_COST), 500),
    Reader("entries", _texts(*inputs.ENTRIES), _entries("entries.csv"), None, 250),
    Reader("entries_json", _texts(*inputs.ENTRIES_JSON), _entries("entries.json"), None, 250),
    Reader("tensor", _texts(*inputs.TENSORS), _tensor, None, 250),
    Reader("space", lambda: inputs.encoded(inputs.spaces()), _space, _file("s.toml", *_DESCRIBE), 700),
    Reader("targets", _texts(*inputs.TARGETS), _toml(load_targets), _file("t.toml", *_AIMED), 500),
    Reader("training", _texts(*inputs.TRAINING), _toml(load_config), None, 400),
    Reader("tuning", _texts(*inputs.TUNING), _toml(load_tuning), None, 400),
    Reader("structures_training", _texts(*inputs.CRYSTALS), _toml(load_crystal_config), None, 200),
    Reader("cif", _texts(*inputs.CIF), _structures("x.cif"), _file("x.cif", *_STRUCTURE), 600),
    Reader("poscar", _texts(*inputs.POSCAR), _structures("x.vasp"), _file("x.vasp", *_STRUCTURE), 400),
    Reader("structure_json", _texts(*inputs.JSON), _structures("x.json"), _file("x.json", *_STRUCTURE), 400),
    Reader("weights", lambda: (_tiny()[0],), _weights, _weights_words, 500),
    Reader("card", lambda: (_tiny()[1],), _card, _card_words, 400),
    Reader("state", _state_bytes, _state, None, 100),
    Reader("table_card", _table_cards, _table_card, None, 200),
    Reader("history", _texts(*inputs.HISTORY), _history, None, 50),
    Reader("record", _texts(*inputs.RECORD), _record, None, 100),
    Reader("job", _texts(*inputs.JOB), _job, None, 50),
)
"""All readers; the shares add up to 10,000."""
