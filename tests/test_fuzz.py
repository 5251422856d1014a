"""Malformed inputs: refused in a sentence, row by row, whatever they are; benchmarks/fuzz.py tries 10,000."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import COMMAND_EVERY, INPUTS
from benchmarks.fuzz_inputs import FORMULAS, HOSTILE, malformed
from benchmarks.fuzz_judge import Fault, Reader, commanded, judged
from benchmarks.fuzz_readers import READERS
from softlyte.datasets.errors import UserError

CORPUS = Path(__file__).parent / "corpus"
BY_NAME = {reader.name: reader for reader in READERS}
FEW, FEW_COMMANDS = 40, 2

quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_the_benchmark_is_of_ten_thousand_inputs() -> None:
    assert sum(reader.share for reader in READERS) == INPUTS == 10_000
    assert sum(-(-r.share // COMMAND_EVERY) for r in READERS if r.words) > 300


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_valid_examples_are_read(reader: Reader, tmp_path: Path) -> None:
    for content in reader.seeds()[:2]:
        assert judged(reader, content, tmp_path / "x") in ("accepted", "partly")


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_mutations_give_a_result_or_a_reason(reader: Reader, tmp_path: Path) -> None:
    seeds = reader.seeds()
    for number in range(min(FEW, reader.share // 10)):
        judged(reader, malformed(seeds, np.random.default_rng([7, number])), tmp_path / "x")


@pytest.mark.parametrize("reader", [r for r in READERS if r.words], ids=lambda reader: reader.name)
def test_the_command_line_shows_no_traceback(reader: Reader, tmp_path: Path) -> None:
    seeds = reader.seeds()
    for number in range(FEW_COMMANDS):
        commanded(reader, malformed(seeds, np.random.default_rng([8, number])), tmp_path / "x")


KEPT = sorted(path for path in CORPUS.glob("*/*") if path.parent.name in BY_NAME)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_inputs_that_once_broke_something(path: Path, tmp_path: Path) -> None:
    reader, content = BY_NAME[path.parent.name], path.read_bytes()
    judged(reader, content, tmp_path / "x")
    if reader.words is not None:
        commanded(reader, content, tmp_path / "x")


def test_every_kept_input_belongs_to_a_reader() -> None:
    assert KEPT
    assert len(KEPT) == len([path for path in CORPUS.rglob("*") if path.is_file()])


amount = st.one_of(
    st.just(""), st.integers(0, 12).map(str), st.floats(0, 20).map(str), st.sampled_from(HOSTILE)
)
symbol = st.sampled_from(
    ["Li", "Na", "Cl", "O", "Zr", "Al", "Y", "Xx", "D", "C", "Co", "(", ")", "[", "·", " "]
)
formula = st.one_of(
    st.text(max_size=40),
    st.sampled_from(FORMULAS),
    st.lists(st.tuples(symbol, amount).map("".join), min_size=1, max_size=8).map("".join),
)


@quick
@given(formula)
def test_any_text_is_a_formula_or_refused(tmp_path: Path, text: str) -> None:
    judged(BY_NAME["formula"], text.encode("utf-8", "replace"), tmp_path / "x")


@quick
@given(st.lists(st.tuples(formula, st.sampled_from(["crystal", "Glass ", "", "melt", "\x00"])), max_size=12))
def test_each_row_of_any_file_is_a_result_or_refused(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("formula", "phase"), *rows])
    judged(BY_NAME["candidates"], text.getvalue().encode("utf-8", "replace"), tmp_path / "x")


plain = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.text(max_size=8).map(lambda text: text.replace("\x00", ""))
)
value = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=5,
)


def toml_value(given: object) -> str:
    """Write a value as TOML."""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, dict):
        return "{" + ", ".join(f"{key} = {toml_value(one)}" for key, one in given.items()) + "}"
    if isinstance(given, list):
        return "[" + ", ".join(map(toml_value, given)) + "]"
    if isinstance(given, str):
        return '"' + "".join(f"\\U{ord(c):08x}" for c in given if not 0xD800 <= ord(c) <= 0xDFFF) + '"'
    return str(given)


@pytest.mark.parametrize("name", ["space", "targets", "training", "tuning", "structures_training"])
def test_any_value_of_any_key_is_taken_or_refused(name: str, tmp_path: Path) -> None:
    reader = BY_NAME[name]
    lines = [line for seed in reader.seeds() for line in seed.decode().splitlines()]
    keys = [number for number, line in enumerate(lines) if "=" in line and not line.startswith("#")]

    @quick
    @given(st.sampled_from(keys), value)
    def holds(number: int, given: object) -> None:
        changed = lines.copy()
        changed[number] = f"{lines[number].split('=')[0]} = {toml_value(given)}"
        judged(reader, "\n".join(changed).encode(), tmp_path / "x")

    holds()


def reader_of(read: Callable[[bytes, Path], str]) -> Reader:
    return Reader("x", lambda: (b"x",), read, None, 1)


def crash_at_once(*_: object) -> None:
    raise KeyError("x")


def test_the_judge_sees_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(content: bytes, folder: Path) -> str:
        raise KeyError("x")

    def mute(content: bytes, folder: Path) -> str:
        raise UserError(" ")

    for read in (crash, mute):
        with pytest.raises(Fault):
            judged(reader_of(read), b"x", tmp_path / "x")
    # A check that fails ends with 1, which no refusal does.
    monkeypatch.setattr("softlyte.datasets.tables.check_tables", crash_at_once)
    broken = Reader("x", lambda: (b"x",), crash, lambda content, folder: ["data", "check"], 1)
    with pytest.raises(Fault, match="data: KeyError"):
        commanded(broken, b"x", tmp_path / "x")
