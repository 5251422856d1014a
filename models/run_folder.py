"""A run's folder: it states its configuration and refuses another one."""

from __future__ import annotations

from pathlib import Path

from softlyte.datasets.writing import write_bytes
from softlyte.models.config import ConfigError

RESOLVED = "config.json"


def open_run_folder(folder: Path, resolved: str) -> Path:
    """Create the folder, or go on in it, and write the resolved configuration (JSON text) into it.

    Raises:
        ConfigError: the folder holds a run with another configuration, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stated = folder / RESOLVED
        if stated.is_file() and stated.read_text(encoding="utf-8") != resolved:
            raise ConfigError(
                f"{folder} holds a run with another configuration; give another --out or that configuration"
            )
        write_bytes(stated, resolved.encode())
    except OSError as error:
        raise ConfigError(f"the folder {folder} cannot be written ({error}); give another --out") from error
    return folder
