"""`softlyte version`: what is installed."""

from __future__ import annotations

from softlyte.cli import options
from softlyte.cli.output import print_json, print_table


def command(as_json: options.Json = False) -> None:
    """Show the versions of Softlyte, its weights and what it stands on."""
    import json
    import platform
    from importlib import metadata
    from importlib.resources import files

    import softlyte

    rows = [["softlyte", softlyte.__version__], ["python", platform.python_version()]]
    rows += [
        [name, metadata.version(name)] for name in ("torch", "torch-geometric", "pymatgen", "numpy", "pandas")
    ]
    card = files("softlyte.models").joinpath("pretrained", "card.json")
    if card.is_file():
        # Read as JSON: the checkpoint loader would import torch for one line.
        checksum = json.loads(card.read_text(encoding="utf-8")).get("weights_sha256", "")
        rows.append(["weights sha256", checksum[:16]])
    if as_json:
        print_json({name.replace(" ", "_"): value for name, value in rows})
    else:
        print_table(["what", "version"], rows)
