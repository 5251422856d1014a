"""Runs the tests of a module with mutants of it: tests are collected once, each mutant is a fork.

A function gets the mutant's code in place; for a change outside of functions the module, and all that need
it, are imported anew. No file is touched.
"""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.util
import inspect
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "softlyte.screening"
PLUGINS = ("-p", "_hypothesis_pytestplugin")
"""Others cost time in every process."""


def prepare() -> None:
    """Import what mutants do not change, so that their processes need not."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    sys.path[:0] = [str(ROOT / "tests" / "support")]
    os.chdir(ROOT)
    import hypothesis
    import torch

    torch.set_num_threads(1)
    hypothesis.settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
    for path in sorted((ROOT / "screening").glob("*.py")):
        if path.stem not in ("__init__", "cluster"):
            importlib.import_module(f"{PACKAGE}.{path.stem}")


class Mutation:
    """A pytest plugin that runs the collected tests twice as they are and then hands itself to `judge`.

    Args:
        name: module of softlyte.screening.
        judge: what tries mutants, by `outcome`.
    """

    def __init__(self, name: str, judge: Callable[[Mutation], None]) -> None:
        self.name, self.judge = name, judge
        self.path = ROOT / "screening" / f"{name}.py"
        self.failed = False
        self.limit_s = 0.0
        self._session: pytest.Session | None = None
        self._dependants: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
        self.failed = self.failed or report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run what was collected, and then the mutants."""
        self._session = session
        for _ in range(2):  # the second time, what can be kept is there
            start = time.perf_counter()
            self._run_items()
            if self.failed or not session.items:
                raise SystemExit(f"the tests of {self.name} fail without any change")
        self.limit_s = 10 * (time.perf_counter() - start) + 20
        self._dependants = dependants(self.name)
        gc.collect()
        gc.freeze()
        self.judge(self)
        return True

    def _run_items(self) -> None:
        assert self._session is not None
        items = self._session.items
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return

    def outcome(self, source: str, in_function: bool, words: Sequence[str]) -> str:
        """Run the tests with another source in a process of its own: "killed", "survived" or "timeout".

        Args:
            source: of the module.
            in_function: True if it differs inside of functions only.
            words: files and options of pytest, for tests that must be collected anew.
        """
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setsid()
                silent = os.open(os.devnull, os.O_WRONLY)
                os.dup2(silent, 1)
                os.dup2(silent, 2)
                if in_function:
                    graft(f"{PACKAGE}.{self.name}", source)
                    _forget_results(self._dependants)
                    self._run_items()
                    code = int(self.failed)
                else:
                    _import_anew(self.name, self.path, source)
                    code = int(pytest.main([*PLUGINS, *words, "-x"]))
            finally:
                os._exit(code)
        return _waited(child, self.limit_s)


def _waited(child: int, limit_s: float) -> str:
    deadline = time.monotonic() + limit_s
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


class MutatedModule(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Finds one module and gives another source for it."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        """Return where the module comes from, None for any other one."""
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def get_filename(self, fullname: str) -> str:
        """Return the file that the module seems to come from."""
        return str(self.path)

    def get_data(self, path: str) -> bytes:
        """Return the source; there is no compiled file."""
        if path != str(self.path):
            raise OSError(path)
        return self.source.encode()


def _import_anew(name: str, path: Path, source: str) -> None:
    """Let the module, and all that import it, be imported anew with another source."""
    sys.meta_path.insert(0, MutatedModule(f"{PACKAGE}.{name}", path, source))
    tests = {
        module
        for module, loaded in sys.modules.items()
        if str(getattr(loaded, "__file__", "")).startswith(str(ROOT / "tests"))
    }
    for module in dependants(name) | tests:
        sys.modules.pop(module, None)


def graft(full: str, source: str) -> None:
    """Give the functions of a loaded module the code of another source of it, wherever they are known."""
    module = sys.modules[full]
    path = str(module.__file__)
    fresh = ModuleType(full)
    fresh.__dict__.update({k: v for k, v in module.__dict__.items() if k.startswith("__")})
    exec(compile(source, path, "exec", dont_inherit=True), fresh.__dict__)  # noqa: S102
    _graft_all(module.__dict__, fresh.__dict__, path)


def _graft_all(old: Any, new: Any, path: str) -> None:
    for name, made in new.items():
        known = old.get(name)
        if isinstance(known, type) and isinstance(made, type) and known.__module__ == made.__module__:
            if made is not known:
                _graft_all(vars(known), vars(made), path)
            continue
        for one, other in zip(_functions(known), _functions(made), strict=False):
            if one.__code__.co_filename == path and one.__code__ != other.__code__:
                one.__code__ = other.__code__


def _functions(value: Any) -> list[FunctionType]:
    """Return the functions behind a function, method, property or cached function."""
    if isinstance(value, property):
        return [f for f in (value.fget, value.fset) if isinstance(f, FunctionType)]
    value = getattr(value, "func", value) if isinstance(value, cached_property) else value
    value = inspect.unwrap(getattr(value, "__func__", value))
    return [value] if isinstance(value, FunctionType) else []


def _forget_results(modules: set[str]) -> None:
    """Empty the caches of modules whose results may differ now."""
    for module in modules:
        for value in list(vars(sys.modules[module]).values()):
            clear = getattr(value, "cache_clear", None)
            if callable(clear) and getattr(value, "__module__", "") in modules:
                clear()


def dependants(name: str) -> set[str]:
    """Return the module and all loaded modules of ours that import it, directly or not."""
    imported = {
        module: set(re.findall(r"^\s*(?:from|import) (softlyte[\w.]*)", Path(file).read_text(), re.MULTILINE))
        for module, loaded in list(sys.modules.items())
        if module.startswith("softlyte") and (file := getattr(loaded, "__file__", None)) is not None
    }
    found = {f"{PACKAGE}.{name}"}
    while True:
        more = {module for module, names in imported.items() if names & found} | found
        if more == found:
            return found
        found = more
