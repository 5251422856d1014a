"""Checkpoints: JSON metadata beside tensors, loaded strictly, never pickled classes."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from softlyte.datasets.documents import DocumentError, read_json
from softlyte.datasets.errors import UserError
from softlyte.datasets.writing import write_bytes

FORMAT = "softlyte-composition-ensemble"
CRYSTAL_FORMAT = "softlyte-crystal-ensemble"
FORMAT_VERSION = 1
WEIGHTS, CARD = "weights.safetensors", "card.json"
PRETRAINED = Path(__file__).parent / "pretrained"
PRETRAINED_CRYSTALS = Path(__file__).parent / "pretrained_crystals"
"""Folders of the weights that ship with Softlyte."""

_OF_ODD_CARDS = (KeyError, TypeError, IndexError, ValueError, OverflowError, RuntimeError, MemoryError)

_SHIPPED = {FORMAT: PRETRAINED, CRYSTAL_FORMAT: PRETRAINED_CRYSTALS}


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged or foreign; the message names the file and the remedy."""


@dataclass(frozen=True)
class Checkpoint:
    """An ensemble's card and the state of each member."""

    card: dict[str, Any]
    members: list[dict[str, Tensor]]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def save_state(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file, whole or not at all."""
    write_bytes(path, save({k: v.detach().cpu().contiguous() for k, v in state.items()}))


def save_checkpoint(
    folder: Path, card: dict[str, Any], members: Sequence[Mapping[str, Tensor]], format: str = FORMAT
) -> None:
    """Write card.json and weights.safetensors; the card gets format, version and the weights' checksum.

    Weights are kept in half precision: half the size; over 8,000 candidates no prediction of the shipped
    weights moved by more than 0.13% of the width of its interval.
    """
    folder.mkdir(parents=True, exist_ok=True)
    joined = {
        f"member{i}.{k}": v.half() if v.is_floating_point() else v
        for i, state in enumerate(members)
        for k, v in state.items()
    }
    save_state(folder / WEIGHTS, joined)
    full = {
        "format": format,
        "format_version": FORMAT_VERSION,
        "members": len(members),
        "weights_sha256": file_sha256(folder / WEIGHTS),
        **card,
    }
    write_bytes(folder / CARD, (json.dumps(full, indent=1, sort_keys=True) + "\n").encode())


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; raises CheckpointError if it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}; give a folder written by `softlyte train`") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or no safetensors file ({error}); copy it again or retrain"
        ) from error


def load_checkpoint(folder: Path | None = None, format: str = FORMAT) -> Checkpoint:
    """Read an ensemble and check format, version and checksum.

    Args:
        folder: folder with card.json and weights.safetensors; None for the shipped weights.
        format: FORMAT for networks on compositions, CRYSTAL_FORMAT for those on structures.

    Raises:
        CheckpointError: something is missing, truncated, altered or from another program.
    """
    folder = _SHIPPED[format] if folder is None else Path(folder)
    card_path, weights_path = folder / CARD, folder / WEIGHTS
    try:
        card = read_json(card_path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"there is no {card_path}; give a folder written by `softlyte train`") from None
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        raise CheckpointError(f"{card_path} is not readable JSON ({error}); copy it again") from error
    if not isinstance(card, dict) or card.get("format") not in _SHIPPED:
        raise CheckpointError(f"{card_path} is not a Softlyte ensemble; give a folder from `softlyte train`")
    if card["format"] != format:
        kinds = {FORMAT: "compositions", CRYSTAL_FORMAT: "structures"}
        found, wanted = kinds[card["format"]], kinds[format]
        raise CheckpointError(f"{card_path} is an ensemble on {found}; give one that was trained on {wanted}")
    if card.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{card_path} has format version {card.get('format_version')!r}, this Softlyte reads "
            f"{FORMAT_VERSION}; install the Softlyte that wrote it or retrain"
        )
    if not weights_path.is_file():
        raise CheckpointError(f"there is no {weights_path}; copy it beside {CARD} or retrain")
    if file_sha256(weights_path) != card.get("weights_sha256"):
        raise CheckpointError(
            f"{weights_path} does not match the checksum in {CARD}: it is truncated or altered; copy it again"
        )
    joined = load_state(weights_path)
    count = card.get("members")
    if not isinstance(count, int) or not 1 <= count <= len(joined):
        raise CheckpointError(f"{card_path} states no number of members; copy it again or retrain")
    members: list[dict[str, Tensor]] = [{} for _ in range(count)]
    for key, value in joined.items():
        prefix, _, rest = key.partition(".")
        number = prefix.removeprefix("member")
        if not number.isdigit() or int(number) >= count or not rest:
            raise CheckpointError(f"{weights_path} holds the foreign tensor {key!r}; copy it again")
        members[int(number)][rest] = value.float() if value.is_floating_point() else value
    return Checkpoint(card, members)


@contextmanager
def odd_cards_named(folder: Path) -> Iterator[None]:
    """Turn what a card with odd values leads to while networks are made into a CheckpointError.

    Args:
        folder: of the card, for the message.
    """
    try:
        yield
    except UserError:
        raise
    except _OF_ODD_CARDS as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(
            f"{folder / CARD} is incomplete or from another version ({problem}); copy it again or retrain"
        ) from error


def check_resumable(path: Path) -> Path | None:
    """Return the state that an interrupted training goes on from, None if there is none.

    Only tensors and plain values are read: a pickled class, whatever it would run, is refused.

    Raises:
        CheckpointError: the file is damaged, or holds something else.
    """
    if not path.is_file():
        return None
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or no state of a training ({type(error).__name__}); "
            "delete it, the stage begins anew"
        ) from None
    return path


def load_strictly(module: torch.nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load tensors into a module; raises CheckpointError unless names and shapes fit exactly."""
    try:
        module.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{where} does not fit its network ({reason}); retrain") from error
