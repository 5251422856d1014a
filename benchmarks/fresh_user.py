"""The ways in, timed: from an empty environment to a ranked table.

    python -m benchmarks.fresh_user            # wheel, git and offline, a few GB of disk, 10 minutes
    python -m benchmarks.fresh_user --only wheel

wheel: build the wheel, install it with the extra notebooks, run notebook 01, read its ranked table.
git: install from the repository's last commit, predict a composition.
offline: collect all wheels into a folder, install from it alone, predict with the network cut off (where the
system lets an ordinary user do that). Writes benchmarks/results/fresh_user.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "fresh_user.json"
CONSTRAINTS = ("--constraint", str(ROOT / "constraints.txt"))
PREDICT = ("predict", "LiAlCl2.5O0.75", "--phase", "glass", "--format", "csv")
WAYS = ("wheel", "git", "offline")


class Steps:
    """Runs commands one after the other and keeps how long each took, in seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        # What is found in this checkout must not help.
        left_out = ("PYTHONPATH", "VIRTUAL_ENV", "SOFTLYTE_CACHE_DIR")
        self.environment = {k: v for k, v in os.environ.items() if k not in left_out}
        self.environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(self, name: str, command: Sequence[str | Path]) -> str:
        """Run a command in the folder; returns what it printed, raises with its errors if it fails."""
        print(f"{name} ...", flush=True)
        start = time.perf_counter()
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.seconds[name] = round(time.perf_counter() - start, 1)
        if done.returncode != 0:
            raise RuntimeError(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        print(f"{name}: {self.seconds[name]} s", flush=True)
        return done.stdout

    def environment_at(self, name: str) -> Path:
        """Make an empty environment; returns its folder of programs."""
        self.run(f"{name}: empty environment", [sys.executable, "-m", "venv", self.folder / name])
        return self.folder / name / "bin"


def build_wheel(steps: Steps) -> Path:
    """Build the wheel from this checkout."""
    steps.run("build the wheel", [sys.executable, "-m", "build", "--wheel", "--outdir", steps.folder, ROOT])
    return next(steps.folder.glob("softlyte-*.whl"))


def by_wheel(steps: Steps, wheel: Path) -> dict[str, object]:
    """Install the wheel, run notebook 01 and return what is in its ranked table."""
    bin_ = steps.environment_at("wheel")
    steps.run("wheel: install with notebooks", [bin_ / "pip", "install", *CONSTRAINTS, f"{wheel}[notebooks]"])
    notebook = Path(shutil.copy(ROOT / "notebooks" / "01_first_screen.ipynb", steps.folder))
    steps.run("wheel: run notebook 01", [bin_ / "jupyter-execute", "--kernel_name=python3", notebook])
    ranked = pd.read_csv(steps.folder / "out" / "first-screen" / "candidates.csv")
    report = steps.folder / "out" / "first-screen" / "report.html"
    best = ranked.iloc[0]
    return {
        "rows": len(ranked),
        "columns": ranked.shape[1],
        "best": best["formula"],
        "p_all_targets": float(best["p_all_targets"]),
        "report_mb": round(report.stat().st_size / 1e6, 1),
    }


def by_git(steps: Steps) -> dict[str, object]:
    """Install the repository's last commit and predict."""
    bin_ = steps.environment_at("git")
    steps.run("git: install", [bin_ / "pip", "install", *CONSTRAINTS, f"git+file://{ROOT}"])
    return _predicted(steps.run("git: predict", [bin_ / "softlyte", *PREDICT]))


def offline(steps: Steps, wheel: Path) -> dict[str, object]:
    """Collect wheels, install from them alone, and predict without a network."""
    house = steps.folder / "wheelhouse"
    bin_ = steps.environment_at("offline")
    steps.run("offline: collect wheels", [bin_ / "pip", "wheel", "--wheel-dir", house, *CONSTRAINTS, wheel])
    files = list(house.glob("*.whl"))
    # --isolated: no configuration of this machine names another place to install from.
    steps.run(
        "offline: install",
        [bin_ / "pip", "--isolated", "install", "--no-index", "--find-links", house, "softlyte"],
    )
    cut = ["unshare", "--map-root-user", "--net"] if _can_cut_off() else []
    found = _predicted(steps.run("offline: predict", [*cut, bin_ / "softlyte", *PREDICT]))
    size = sum(file.stat().st_size for file in files)
    return found | {"wheels": len(files), "wheelhouse_mb": round(size / 1e6), "network_cut_off": bool(cut)}


def _can_cut_off() -> bool:
    command = ["unshare", "--map-root-user", "--net", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, check=False).returncode == 0


def _predicted(text: str) -> dict[str, object]:
    head, values = (line.split(",") for line in text.splitlines()[:2])
    row = dict(zip(head, values, strict=False))
    return {"formula": row["formula"], "phase": row["phase"]}


def main(arguments: list[str] | None = None) -> None:
    """Run the ways that are asked for and write their times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=WAYS, action="append", help="one of the ways; may be repeated")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    asked = parser.parse_args(arguments)
    ways = asked.only or list(WAYS)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        steps = Steps(Path(name))
        found: dict[str, object] = {}
        wheel = build_wheel(steps) if {"wheel", "offline"} & set(ways) else None
        if "wheel" in ways and wheel is not None:
            found["wheel"] = by_wheel(steps, wheel)
        if "git" in ways:
            found["git"] = by_git(steps)
        if "offline" in ways and wheel is not None:
            found["offline"] = offline(steps, wheel)
        machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.system()}
        RESULT.write_text(
            json.dumps({"machine": machine, "seconds": steps.seconds, "found": found}, indent=1) + "\n",
            encoding="utf-8",
        )
        print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
