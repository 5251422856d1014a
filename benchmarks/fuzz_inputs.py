"""Malformed inputs for every reader: valid examples, and seeded mutations of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent

HOSTILE = (
    *(
        "",
        "nan",
        "-nan",
        "inf",
        "-inf",
        "0",
        "-0",
        "-1",
        "1e400",
        "-1e400",
        "1e-400",
        "1e99999999999999999999",
    ),
    *(
        "9" * 5000,
        "0x" + "f" * 40,
        "1_000",
        "1,5",
        "½",
        "١٢",
        "𝟙",
        "²",
        "0.1.2",
        "1e",
        "--1",
        "+",
        "1/0",
        "1/3",
    ),
    *(
        "true",
        "null",
        "None",
        "[]",
        "{}",
        '""',
        "'",
        '"',
        "\\",
        "\n",
        "\r",
        "\r\n\r\n",
        "\t",
        "\x00",
        "\x1b[2J",
    ),
    *(
        "\ufeff",
        "\u2028",
        "\u202e",
        "\u00b7",
        "\udcff",
        "Ω",
        "名",
        "=1+1",
        "@x",
        "<script>",
        "{{ 7*7 }}",
        "%s%n",
    ),
    *(
        "[" * 3000,
        "{" * 3000,
        "(" * 300,
        '{"a":' * 3000,
        "a." * 2000 + "b",
        "- " * 2000,
        "&a [*a]",
        "!!python/x",
    ),
    *(
        "2024-13-45",
        "2024-01-01T99:00:00",
        "../../etc/passwd",
        "/",
        ".",
        "~",
        "Li",
        "Xx",
        "D",
        "T",
        "Li+",
        "e-",
    ),
    *(
        "18446744073709551616",
        "-9223372036854775809",
        "1e308",
        "5e-324",
        "0.00001",
        "10000.5",
        "*",
        "#",
        ";",
        ",",
    ),
)
"""Words that have broken readers of numbers, texts, dates and nested data."""

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")

FORMULAS = (
    *("Li3YCl6", "LiAlCl2.5O0.75", "Na2ZrCl6", "Li6PS5Cl", "Li7La3Zr2O12", "Li1.75ZrCl4.75O0.5", "NaAlCl4"),
    *("Li2(ZrCl6)", "(LiCl)2(GaF3)", "LiCl·AlCl3", "Li0.3333Y0.1Cl0.6333", "Li10GeP2S12", "[Li2]{ZrCl6}"),
)

CANDIDATES = (
    'formula,phase,note\nLi3YCl6,crystal,a\nLiAlCl2.5O0.75,glass,"b, c"\nNa2ZrCl6,,\n'
    "AlCl3,,no ion\nLi6Y2Cl12,,\n",
    "mp_id,Formula\nmp-1,Li3YCl6\n,LiTaCl6\nmp-22,LiAlCl4\n",
)

MEASUREMENTS = (
    "sample,formula,phase,sigma (mS/cm),sigma_sd (%),T (C),E (GPa),source,note\n"
    "A1,Li2.25Hf0.75Fe0.25Cl5.5O0.5,crystal,1.6,10,25,21,notebook 7,first batch\n"
    "A2,LiGaCl4,glass,<1e-6,,25,,notebook 7,\nA3,NaAlCl4,glass,0.02,,60,9.5,notebook 8,pressed\n",
)

PRICES = (
    "formula,price_per_kg,low_per_kg,high_per_kg,currency,date,source\n"
    "LiCl,11.5,10,14,EUR,2023-11,quote\nZrCl4,9,,,,2023,\nZrOCl2(H2O)8,2.5,2,3,USD,,\n",
)

ENTRIES = (
    "formula,formation_energy_ev_atom,functional\nLi3YCl6,-2.7,PBE\nLiYCl4,-2.6,PBE\nYCl3,-2.55,GGA\n",
)

ENTRIES_JSON = (
    json.dumps(
        [
            {
                "composition": {"Li": 1.0},
                "energy": -1.9,
                "correction": 0.0,
                "parameters": {"run_type": "GGA"},
            },
            {
                "composition": {"Cl": 2.0},
                "energy": -3.6,
                "correction": 0.0,
                "parameters": {"run_type": "GGA"},
            },
            {
                "composition": {"Li": 1.0, "Cl": 1.0},
                "energy": -7.2,
                "energy_adjustments": [{"@class": "ConstantEnergyAdjustment", "value": -0.6}],
                "parameters": {"run_type": "GGA"},
            },
        ]
    ),
)

TENSORS = (
    "\n".join(
        " ".join(str(v) for v in row)
        for row in np.diag([49.3, 49.3, 49.3, 25.1, 25.1, 25.1]) + 22.0 * np.pad(1 - np.eye(3), (0, 3))
    ),
)

TARGETS = (
    '[[target]]\ncolumn = "stack_pressure_mpa"\ncomparison = "<"\nvalue = 2.0\n'
    '[[target]]\ncolumn = "sigma_ms_cm"\ncomparison = ">="\nvalue = 1.0\n'
    "[conditions]\ntemperature_c = 60\ncontact = 0.3\nalkali_metal = true\npressure_mpa = 5\n",
)

TRAINING = (
    "seed = 3\n[network]\nwidth = 16\nlayers = 1\nheads = 2\n[training]\n"
    'batch_size = 64\nprecision = "32-true"\n'
    '[[training.stages]]\nname = "joint"\nepochs = 2\nlearning_rate = 2e-3\n'
    "passes = {mechanics_cited = 2.0}\n"
    '[[training.stages]]\nname = "refit"\nepochs = 1\nlearning_rate = 3e-4\nrows = "all"\n'
    '[ensemble]\nmembers = 4\nprocesses = 1\n[data]\ntables = ["mechanics_cited", "conductivity_cited"]\n'
    "folds = 2\nweights = {sigma_s_cm = 2.0}\n",
)

TUNING = (
    TRAINING[0] + '[tune]\ntrials = 4\ntargets = ["sigma_s_cm"]\nfolds = [0, 1]\nrungs = [1]\nreduction = 3\n'
    '[tune.space]\nnetwork.width = {choices = [8, 16]}\n"training.stages.0.learning_rate" = '
    "{low = 1e-4, high = 1e-1, log = true}\ntraining.batch_size = {low = 16, high = 64}\n",
)

CRYSTALS = (
    'seed = 1\n[structures]\nfolds = 2\n[structures.tables]\nbulk = "labels.parquet"\n'
    "[structures.weights]\nbulk_modulus_gpa = 2.0\n[training]\nbatch_size = 8\n"
    '[[training.stages]]\nname = "joint"\nepochs = 1\nlearning_rate = 1e-3\npasses = {bulk = 1.0}\n',
)

SUBSTITUTIONS = (
    'name = "around"\n[mobile_ions]\nLi = 1\n[cations]\nY = 3\nZr = 4\n[anions]\nCl = -1\nBr = -1\n'
    "[limits]\nmax_atoms = 60\nmin_mobile_fraction = 0.1\n"
    '[[substitutions]]\ncovers = "Li3-xY1-xZrxCl6"\nparents = ["Li3YCl6"]\n'
    'replace = [{ site = "Y", by = "Zr", amount = { from = 0.25, to = 0.75, step = 0.25 } }]\n',
)

CIF = (
    "data_LiCl\n_symmetry_space_group_name_H-M 'P 1'\n_cell_length_a 3.6\n"
    "_cell_length_b 3.6\n_cell_length_c 3.6\n"
    "_cell_angle_alpha 60\n_cell_angle_beta 60\n_cell_angle_gamma 60\nloop_\n _symmetry_equiv_pos_site_id\n"
    " _symmetry_equiv_pos_as_xyz\n  1 'x, y, z'\nloop_\n _atom_site_type_symbol\n _atom_site_label\n"
    " _atom_site_fract_x\n _atom_site_fract_y\n _atom_site_fract_z\n _atom_site_occupancy\n"
    "  Li Li0 0.0 0.0 0.0 1\n  Cl Cl1 0.5 0.5 0.5 0.9(1)\n  Br Br1 0.5 0.5 0.5 0.1\n",
)

POSCAR = (
    "LiCl\n1.0\n0.0 2.55 2.55\n2.55 0.0 2.55\n2.55 2.55 0.0\nLi Cl\n1 1\nSelective dynamics\ndirect\n"
    "0.0 0.0 0.0 T T T Li\n0.5 0.5 0.5 F F T Cl\n",
)

JSON = (
    json.dumps(
        {
            "@module": "pymatgen.core.structure",
            "@class": "Structure",
            "charge": 0,
            "lattice": {
                "matrix": [[0.0, 2.55, 2.55], [2.55, 0.0, 2.55], [2.55, 2.55, 0.0]],
                "pbc": [True] * 3,
            },
            "sites": [
                {
                    "species": [{"element": "Li", "occu": 1}],
                    "abc": [0, 0, 0],
                    "label": "Li",
                    "properties": {},
                },
                {
                    "species": [{"element": "Cl", "occu": 1}],
                    "abc": [0.5] * 3,
                    "label": "Cl",
                    "properties": {},
                },
            ],
        }
    ),
)


HISTORY = ('{"action": "added", "version": 1, "at": "x", "file": "m.csv", "file_sha256": "0", "rows": 3}\n',)
RECORD = ('{"softlyte": "0.1.0", "config": {"seed": 1}, "attempts": 2, "timings_s": {}}',)
JOB = ('{"potential": "diep"}',)


def spaces() -> tuple[str, ...]:
    """Return small spaces of families, mixtures and substitutions."""
    small = (ROOT / "tests" / "spaces" / name for name in ("small.toml", "medium.toml"))
    return (*(path.read_text(encoding="utf-8") for path in small), *SUBSTITUTIONS)


def encoded(texts: Sequence[str]) -> tuple[bytes, ...]:
    """Return texts as bytes; half of a surrogate stands for a byte that is no UTF-8."""
    return tuple(text.encode("utf-8", "surrogateescape") for text in texts)


TOKENS = encoded(HOSTILE)


def malformed(seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Return one input: mostly a valid one with a few changes, now and then noise alone.

    Args:
        seeds: valid inputs.
        rng: decides everything.
    """
    kind = rng.random()
    if kind < 0.05:
        return rng.bytes(int(rng.integers(0, 200)))
    if kind < 0.10:
        return b"".join(_chosen(TOKENS, rng) for _ in range(int(rng.integers(1, 8))))
    content = _chosen(seeds, rng)
    # Half of them differ in one place only: such ones get farthest.
    for _ in range(min(int(rng.geometric(0.5)), 8)):
        change: Any = _chosen(CHANGES, rng)
        content = change(content, seeds, rng)
        if len(content) > 200_000:
            return content[:200_000]
    return content


def _chosen(items: Sequence[Any], rng: np.random.Generator) -> Any:
    return items[int(rng.integers(len(items)))]


def _span(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(content) + 1))
    return start, min(len(content), start + int(rng.geometric(0.1)))


def _flip(content: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _insert(content: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(content) + 1))
    new = rng.bytes(int(rng.integers(1, 5))) if rng.random() < 0.3 else _chosen(TOKENS, rng)
    return content[:at] + new + content[at:]


def _remove(content: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + content[stop:]


def _repeat(content: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng)
    return content[:stop] + content[start:stop] * int(rng.integers(1, 20)) + content[stop:]


def _cut(content: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def _splice(content: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    other = _chosen(seeds, rng)
    return content[: int(rng.integers(len(content) + 1))] + other[int(rng.integers(len(other) + 1)) :]


def _replaced(pattern: re.Pattern[bytes], content: bytes, rng: np.random.Generator) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return content
    match = _chosen(found, rng)
    # A word of the file itself in a wrong place, or a hostile one.
    new = _chosen(found, rng)[0] if rng.random() < 0.3 else _chosen(TOKENS, rng)
    return content[: match.start()] + new + content[match.end() :]


def _number(content: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    return _replaced(_NUMBER, content, rng)


def _word(content: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    return _replaced(_WORD, content, rng)


def _lines(content: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return content
    one, two = (int(rng.integers(len(lines))) for _ in range(2))
    if rng.random() < 0.5:
        lines[one], lines[two] = lines[two], lines[one]
    else:
        lines.insert(two, lines[one])
    return b"".join(lines)


def _json_type(content: bytes, seeds: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Put a value of another type in the place of one in a JSON document."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return _word(content, seeds, rng)
    node: Any = document
    odd = (None, True, [], {}, "x", -1, 0, 1e308, float("nan"), [[]], {"a": {}}, 10**30, "9" * 30)
    for _ in range(20):
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
        if not len(keys):
            return json.dumps(odd[int(rng.integers(len(odd)))]).encode()
        key = _chosen(list(keys), rng)
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.25:
            if isinstance(node, dict) and rng.random() < 0.2:
                del node[key]
            else:
                node[key] = odd[int(rng.integers(len(odd)))]
            break
        node = node[key]
    return json.dumps(document).encode()


CHANGES = (_flip, _insert, _remove, _repeat, _cut, _splice, _number, _number, _word, _lines, _json_type)
