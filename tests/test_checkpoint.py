"""Checkpoints: only whole, unaltered, fitting ensembles of ours are loaded."""

import json
import pickle
from pathlib import Path

import pytest
import torch

from softlyte.models.checkpoint import (
    CARD,
    WEIGHTS,
    CheckpointError,
    file_sha256,
    load_checkpoint,
    load_state,
    load_strictly,
    save_checkpoint,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    states = [torch.nn.Linear(3, 2).state_dict() for _ in range(2)]
    save_checkpoint(tmp_path / "c", {"tasks": ["a"]}, states)
    return tmp_path / "c"


def test_round_trip(folder: Path) -> None:
    back = load_checkpoint(folder)
    assert len(back.members) == 2
    assert set(back.members[0]) == {"weight", "bias"}
    assert back.card["weights_sha256"] == file_sha256(folder / WEIGHTS)
    load_strictly(torch.nn.Linear(3, 2), back.members[1], "test")


def test_missing_folder_and_missing_weights(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="give a folder written by"):
        load_checkpoint(tmp_path / "nowhere")
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="copy it beside"):
        load_checkpoint(folder)


def test_truncated_weights(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="truncated or altered"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match="damaged"):
        load_state(folder / WEIGHTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "is not a Softlyte ensemble"),
        ({"format_version": 99}, "format version 99"),
        ({"members": 0}, "states no number of members"),
        ({"members": 1}, "foreign tensor"),
    ],
)
def test_foreign_cards(folder: Path, change: dict[str, object], message: str) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | change))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_card_that_is_not_json(folder: Path) -> None:
    (folder / CARD).write_text("{")
    with pytest.raises(CheckpointError, match="not readable JSON"):
        load_checkpoint(folder)


def test_a_pickle_in_place_of_weights_is_never_opened(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"

    class Malicious:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (mark,))  # type: ignore[return-value]

    (folder / WEIGHTS).write_bytes(pickle.dumps(Malicious()))
    card = json.loads((folder / CARD).read_text())
    card["weights_sha256"] = file_sha256(folder / WEIGHTS)
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="damaged or no safetensors"):
        load_checkpoint(folder)
    assert not mark.exists()


def test_shapes_must_fit(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="does not fit its network"):
        load_strictly(torch.nn.Linear(4, 2), load_checkpoint(folder).members[0], "member 0")
