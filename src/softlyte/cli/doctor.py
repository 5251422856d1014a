"""`softlyte doctor`: is everything there and whole, and what is missing for which extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from softlyte.cli import options
from softlyte.cli.output import fail, is_quiet, print_json, print_table

if TYPE_CHECKING:
    from softlyte.screening.health import Check, Health


def command(as_json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Check versions, devices, data, weights and cache, and say what is missing for which extra.

    Exit code 1 if a checksum of the tables or weights is wrong, or a needed package is missing or too old.
    """
    from softlyte.screening.health import examine

    health = examine()
    if as_json:
        print_json(health.to_dict())
    elif not is_quiet():
        _print(health)
    for text in health.missing:
        fail(f"the package {text} is needed; run: pip install --force-reinstall softlyte")
    for check in (*health.tables, *health.weights):
        if not check.ok:
            fail(check.problem)
    if not health.ok:
        raise typer.Exit(1)


def _print(health: Health) -> None:
    print_table(["package", "version"], health.versions.items(), "Versions")
    machine = health.machine
    devices = "; ".join(f"{gpu['name']}, {gpu['memory_gb']:g} GB" for gpu in machine["cuda"])
    rows = [
        ["system", machine["system"]],
        ["cores", f"{machine['usable_cores']} usable of {machine['cpu_cores']}"],
        ["threads of torch", str(machine["torch_threads"])],
        ["CUDA devices", devices or "none: everything runs on the CPU"],
    ]
    print_table(["machine", ""], rows, "Machine")
    rows = [["tables", _counted(health.tables)], ["weights", _counted(health.weights)]]
    print_table(["checksums", ""], rows, "Data and weights")
    cache = health.cache
    place = cache["folder"] or "turned off (SOFTLYTE_CACHE_DIR is empty)"
    rows = [
        ["folder", place + ("" if cache["writable"] or not cache["folder"] else ", not writable")],
        ["holds", f"{cache['files']:,} files, {cache['bytes'] / 1e6:,.1f} MB"],
    ]
    if cache["free_bytes"] is not None:
        rows.append(["free there", f"{cache['free_bytes'] / 1e9:,.1f} GB"])
    print_table(["cache", ""], rows, "Cache")
    rows = [
        [extra.name, f"missing: {', '.join(extra.missing)}", extra.install]
        if extra.missing
        else [extra.name, "installed", ""]
        for extra in health.extras
    ]
    print_table(["extra", "state", "to install it"], rows, "Extras", whole=["extra", "to install it"])
    print_table(["variable", "value"], health.settings.items(), "Environment")


def _counted(checks: tuple[Check, ...]) -> str:
    wrong = [check.name for check in checks if not check.ok]
    return f"{len(checks) - len(wrong)} of {len(checks)} as shipped" + (
        f"; DAMAGED: {', '.join(wrong)}" if wrong else ""
    )
