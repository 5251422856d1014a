"""The wheel: real files in place of links, complete, importable without the source tree."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("screening", "featurize", "models", "datasets")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # What an earlier build left there would hide a module that is missing from the wheel.
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def test_links_lead_to_the_top_level_folders() -> None:
    for floor in FLOORS:
        assert (ROOT / "src" / "softlyte" / floor).resolve() == ROOT / floor
    assert not (ROOT / "datasets" / "__init__.py").exists()
    assert not (ROOT / "tests" / "__init__.py").exists()


def test_wheel_holds_every_source_and_data_file(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {"softlyte/py.typed"}
    for floor in FLOORS:
        for path in (ROOT / floor).rglob("*"):
            if path.suffix in {".py", ".csv", ".gz", ".yaml", ".toml", ".safetensors", ".json", ".txt"}:
                wanted.add(f"softlyte/{path.relative_to(ROOT)}")
    assert wanted <= held, sorted(wanted - held)


def test_every_module_imports_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    # A new environment that sees the installed dependencies, but neither this source tree nor its
    # editable install.
    environment = tmp_path / "env"
    venv.create(environment, with_pip=False)
    site = next((environment / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    dependencies = Path(pytest.__file__).parent.parent
    # Plain paths in a .pth are added without running the .pth files that lie there (the editable one).
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    modules = sorted(
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in zipfile.ZipFile(wheel).namelist()
        if name.endswith(".py") and not name.endswith("__main__.py")
    )
    script = "import importlib, softlyte\n" + "".join(f"importlib.import_module({m!r})\n" for m in modules)
    script += "from softlyte.datasets.tables import check_tables\n"
    script += "from softlyte.models.predictor import Predictor\n"
    script += (
        "Predictor.load(device='cpu')\nassert all(r.ok for r in check_tables())\nprint(softlyte.__file__)\n"
    )
    done = subprocess.run(
        [environment / "bin" / "python", "-I", "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(site)
