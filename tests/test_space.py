import hashlib
import itertools
import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import Compositions, atomic_masses, symbols
from softlyte.datasets.tables import load_table
from softlyte.featurize.charge import is_charge_balanced
from softlyte.screening.element_policy import builtin_policies
from softlyte.screening.enumerate import CandidateChunk, CandidatePlan, enumerate_candidates, plan_candidates
from softlyte.screening.families import FAMILIES, MOBILE_IONS, classify_family, mobile_ion_of
from softlyte.screening.prices import default_prices
from softlyte.screening.space import Space, SpaceError, load_space, space_names

KNOWN = [
    "Li3YCl6",
    "Li3InCl6",
    "Li2ZrCl6",
    "LiAlCl4",
    "NaAlCl4",
    "LiAlCl2.5O0.75",
    "Li4Al4Cl10O3",
    "NaAlCl2.5O0.75",
    "Li2.8Zr0.75Al0.25Cl3.75O1.4",
    "LiNbOCl4",
    "LiTaOCl4",
    "Li1.75ZrCl4.75O0.5",
    "Li2GaF3Cl2",
    "Li2.25Zr0.75Fe0.25Cl6",
    "Li3YBr3Cl3",
    "NaTaCl6",
    "Na2ZrCl6",
    "Na2.25Y0.25Zr0.75Cl6",
    "Li2.1Zr0.95Mg0.05Cl6",
    "Li2.7In0.7Hf0.3Cl6",
    "Li3InCl4.8F1.2",
    "Li1.8Zr0.6Ta0.4O1.2Cl3.8",
    "Li2.8ZrCl4.8O0.8F0.4",
    "Li2ZrOCl4",
    "Li3ErI6",
]
KNOWN_GLASSES = ["LiAlCl2.5O0.75", "NaAlCl2.5O0.75", "Li2.8Zr0.75Al0.25Cl3.75O1.4", "Li1.75ZrCl4.75O0.5"]
KNOWN_GLASSES += ["Li2ZrOCl4", "NaTaCl6", "Li2GaF3Cl2", "LiTaOCl4"]
CRYSTALS_ONLY = ["Li3YCl6", "Li3InCl6", "Li3ErI6", "Li3YBr3Cl3", "Li3YBr6"]

SMALL = (Path(__file__).parent / "spaces" / "small.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def default() -> Space:
    return load_space()


@pytest.fixture(scope="module")
def candidates(default: Space) -> CandidateChunk:
    return joined(enumerate_candidates(default))


def joined(chunks) -> CandidateChunk:
    chunks = list(chunks)
    return CandidateChunk(
        Compositions.concatenate([c.compositions for c in chunks]),
        *(
            np.concatenate([getattr(c, name) for c in chunks])
            for name in ("phase", "mobile_ion", "family", "provenance")
        ),
    )


def space_of(tmp_path, text: str) -> Space:
    path = tmp_path / "space.toml"
    path.write_text(text, encoding="utf-8")
    return load_space(path)


def states_of(space: Space) -> dict[str, tuple[int, ...]]:
    return {**space.spec.mobile_ions, **space.spec.cations, **space.spec.anions}


def is_balanced(space: Space, compositions: Compositions) -> np.ndarray:
    """Whether some choice of one declared state for each element makes the row neutral, exactly."""
    declared = states_of(space)
    several = [s for s, states in declared.items() if len(states) > 1]
    amounts = compositions.integer_amounts()
    neutral = np.zeros(len(compositions), dtype=bool)
    for choice in itertools.product(*(declared[s] for s in several)):
        charge = np.zeros(256, dtype=np.int64)
        for symbol, states in declared.items():
            charge[symbols().index(symbol)] = states[0]
        for symbol, state in zip(several, choice, strict=True):
            charge[symbols().index(symbol)] = state
        neutral |= (charge[compositions.atomic_numbers] * amounts).sum(axis=1) == 0
    return neutral


# ------------------------------------------------------------------ the default space


def test_default_space_is_large_enough_fast_and_counted_exactly(default):
    begin = time.perf_counter()
    plan = plan_candidates(default)
    rows = sum(len(chunk) for chunk in plan.chunks())
    assert time.perf_counter() - begin < 60
    assert 1_000_000 <= rows <= 2_500_000
    assert rows == len(plan) == sum(plan.origin_counts.values()) <= default.count_upper_bound()
    assert min(plan.origin_counts.values()) > 1000, "a family that adds nothing should go"


def test_default_space_contains_the_known_electrolytes(candidates):
    keys = candidates.compositions.keys()
    crystals = set(keys[candidates.phase == PHASES.index("crystal")].tolist())
    glasses = set(keys[candidates.phase == PHASES.index("glass")].tolist())

    def missing(formulas: list[str], among: set) -> list[str]:
        wanted = Compositions.from_formulas(formulas).keys().tolist()
        return [f for f, key in zip(formulas, wanted, strict=True) if key not in among]

    assert missing(KNOWN, crystals) == []
    assert missing(KNOWN_GLASSES, glasses) == []
    assert missing(CRYSTALS_ONLY, crystals) == []
    assert missing(CRYSTALS_ONLY, glasses) == CRYSTALS_ONLY


def test_default_space_has_no_duplicates(candidates):
    order = np.argsort(candidates.compositions.keys(), kind="stable")
    keys, phase = candidates.compositions.keys()[order], candidates.phase[order]
    same = keys[1:] == keys[:-1]
    assert not (same & (phase[1:] == phase[:-1])).any()
    assert same.sum() == (candidates.phase == PHASES.index("glass")).sum(), (
        "a glass is a crystal's second row"
    )


def test_default_space_is_charge_balanced_with_the_declared_states(default, candidates):
    assert is_balanced(default, candidates.compositions).all()


def test_no_excluded_element_appears_and_the_reader_is_told(default, candidates):
    present = {symbols()[z] for z in np.unique(candidates.compositions.atomic_numbers) if z}
    policies = builtin_policies()
    assert {"Cd", "Hg", "Tl", "Pb", "Be", "As"} <= policies["toxic"].elements.keys()
    assert {"Tc", "Pm", "Po", "Th", "U", "Lr"} <= policies["radioactive"].elements.keys()
    assert {"Rh", "Re", "Os", "Ir", "Pt", "Ru", "Pd", "Au", "Te"} <= policies["very_rare"].elements.keys()
    for name in default.spec.exclude_policies:
        assert not present & policies[name].elements.keys()
    assert present == {s for s in states_of(default) if s not in {e.element for e in default.excluded}}
    assert [(e.element, e.policy) for e in default.excluded] == [("Bi", "very_rare")]


def test_limits_hold_in_the_default_space(default, candidates):
    limits, rows = default.spec.limits, candidates.compositions
    mobile = sum(rows.amount_of(ion) for ion in MOBILE_IONS)
    oxygen = rows.amount_of("O")
    halogen = sum(rows.amount_of(x) for x in ("F", "Cl", "Br", "I"))
    framework = rows.amounts.sum(axis=1) - mobile - oxygen - halogen
    assert rows.integer_amounts().sum(axis=1).max() <= limits.max_atoms
    share = mobile / rows.amounts.sum(axis=1)
    assert share.min() >= limits.min_mobile_fraction - 1e-9
    assert share.max() <= limits.max_mobile_fraction + 1e-9
    assert (mobile / framework).max() <= limits.max_mobile_per_framework + 1e-9
    assert (oxygen / framework).max() <= limits.max_oxygen_per_framework + 1e-9
    assert (oxygen / halogen).max() <= limits.max_oxygen_per_halogen + 1e-9
    assert ((oxygen + halogen) / framework).max() <= limits.max_anions_per_framework + 1e-9


def test_labels_agree_with_the_compositions(default, candidates):
    assert (candidates.family == classify_family(candidates.compositions)).all()
    assert (candidates.mobile_ion == mobile_ion_of(candidates.compositions)).all()
    names = {FAMILIES[code] for code in np.unique(candidates.family)}
    assert names == set(FAMILIES[:10]), "the default holds halides and oxyhalides, nothing else"
    assert candidates.provenance.min() >= 0
    assert candidates.provenance.max() == len(default.provenance) - 1


def test_provenance_names_family_or_precursors(default, candidates):
    keys = candidates.compositions.keys().tolist()
    wanted = {
        "Li3YCl6": "family A3MX6",
        "LiAlCl2.5O0.75": "family AMO0.75X2.5",
        "Li2.8Zr0.75Al0.25Cl3.75O1.4": "mixture Li2O-ZrCl4-AlCl3",
        "Li1.8Zr0.6Ta0.4O1.2Cl3.8": "mixture LiCl-LiTaO3-ZrCl4",
    }
    for formula, text in wanted.items():
        row = keys.index(Compositions.from_formulas([formula]).keys().tolist()[0])
        assert default.provenance[candidates.provenance[row]] == text


def test_formulas_are_written_as_in_the_literature_and_read_back_exactly(candidates):
    rows = candidates.compositions[np.arange(0, len(candidates), 97)]
    written = rows.formulas()
    assert (Compositions.from_formulas(written).keys() == rows.keys()).all()
    keys = candidates.compositions.keys().tolist()
    for formula in ("LiAlCl2.5O0.75", "Li2.8Zr0.75Al0.25Cl3.75O1.4", "Li3YCl6", "Li2.25Zr0.75Fe0.25Cl6"):
        row = keys.index(Compositions.from_formulas([formula]).keys().tolist()[0])
        assert (
            candidates.compositions[row : row + 1].formulas()
            == Compositions.from_formulas([formula]).formulas()
        )


DIGEST = """
import hashlib
from softlyte.screening.space import load_space
from softlyte.screening.enumerate import enumerate_candidates
chunk = next(iter(enumerate_candidates(load_space(), chunk_size=10_000)))
print(hashlib.sha256("\\n".join(chunk.compositions.formulas()).encode()).hexdigest())
"""


def test_another_process_enumerates_the_same(candidates):
    first = hashlib.sha256("\n".join(candidates.compositions[:10_000].formulas()).encode()).hexdigest()
    other = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == first


def test_chunk_size_and_restart_do_not_change_the_rows(default, candidates):
    plan = plan_candidates(default)
    start = 1_234_567 % len(plan)
    again = joined(plan.chunks(chunk_size=50_001, start=start))
    assert (again.compositions.keys() == candidates.compositions.keys()[start:]).all()
    for name in ("phase", "mobile_ion", "family", "provenance"):
        assert (getattr(again, name) == getattr(candidates, name)[start:]).all()
    with pytest.raises(ValueError, match="chunk size 0"):
        next(plan.chunks(chunk_size=0))


# ------------------------------------------------------------------ small spaces against plain counting


def test_small_space_is_exactly_what_its_file_says(tmp_path):
    space = space_of(tmp_path, SMALL)
    rows = joined(enumerate_candidates(space, chunk_size=7))
    found = {
        (formula, PHASES[p], space.provenance[k])
        for formula, p, k in zip(rows.compositions.formulas(), rows.phase, rows.provenance, strict=True)
    }
    families = {
        f"{a}{n}{m}{x}{n + q}" for a in ["Li", "Na"] for x in ("Cl", "Br") for n in (1, 2, 3)
        for m, q in (("Al", 3), ("Zr", 4), ("Sn", 2), ("Sn", 4))
    }  # fmt: skip
    mixtures = {
        f"Li{n}{m}{o}O{2 * o}Al{1 - o}Cl{n + 3 * (1 - o)}"
        for n in (0.5, 1, 1.5) for m in ("Zr", "Sn") for o in (0.25, 0.5)
    }  # fmt: skip
    keys = Compositions.from_formulas(sorted(families | mixtures)).keys()
    crystal = rows.phase == PHASES.index("crystal")
    assert sorted(rows.compositions.keys()[crystal].tolist()) == sorted(keys.tolist())
    # Al and Zr are at least half of the framework everywhere, with at most three Li each.
    assert (~crystal).sum() == len(mixtures)
    assert {text for _, _, text in found if text.startswith("mixture")} == {
        "mixture LiCl-ZrO2-AlCl3",
        "mixture LiCl-SnO2-AlCl3",
    }
    assert ("LiAlCl4", "crystal", "family AMX4") in found
    assert [(e.element, e.policy) for e in space.excluded] == [("Pb", "toxic")]


CATIONS = {"Mg": (2,), "Fe": (2, 3), "Al": (3,), "Sn": (2, 4), "Zr": (4,), "Ta": (5,)}
amounts = st.lists(st.sampled_from([1, 2, 3, "1/2", "1/3", 0.25, 1.4]), min_size=1, max_size=3, unique=True)


@settings(max_examples=60, deadline=None)
@given(
    metals=st.lists(st.sampled_from(sorted(CATIONS)), min_size=2, max_size=4, unique=True),
    mobile=amounts,
    first=amounts,
    second=st.none() | amounts,
    oxygen=amounts,
    total=st.booleans(),
)
def test_any_family_is_balanced_distinct_and_complete(
    tmp_path_factory, metals, mobile, first, second, oxygen, total
):
    """Against plain counting; `second` is None where both cations have the same amounts and are alike."""
    second = first if second is None else second

    def listed(values: list) -> str:
        return "[" + ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in values) + "]"

    declared = "\n".join(f"{m} = {list(CATIONS[m])}" for m in metals)
    text = f"""
name = "random"
mobile_ions = {{ Li = 1, Na = 1 }}
anions = {{ O = -2, Cl = -1, F = -1 }}
[cations]
{declared}
[[families]]
name = "A M M' O X"
covers = "anything"
{'totals = [{ of = ["M", "M_"], amount = [2, 3] }]'.replace("M_", "M'") if total else ""}
slots.A = {{ species = "mobile_ions", amount = {listed(mobile)} }}
slots.M = {{ species = "cations", amount = {listed(first)} }}
slots."M'" = {{ species = "cations", amount = {listed(second)} }}
slots.O = {{ amount = {listed(oxygen)} }}
slots.X = {{ species = ["Cl", "F"], amount = "balance" }}
"""
    expected = set()
    for a, m, n, o in itertools.product(
        *([Fraction(str(v)) for v in grid] for grid in (mobile, first, second, oxygen))
    ):
        if total and m + n not in (2, 3):
            continue
        for (one, p), (two, q) in itertools.permutations([(s, c) for s in metals for c in CATIONS[s]], 2):
            x = a + p * m + q * n - 2 * o
            if one != two and x > 0:
                for ion, halogen in itertools.product(("Li", "Na"), ("Cl", "F")):
                    parts = {ion: a, one: m, two: n, "O": o, halogen: x}
                    whole = sum(parts.values())
                    expected.add(tuple(sorted((symbols().index(s), v / whole) for s, v in parts.items())))
    folder = tmp_path_factory.mktemp("random")
    if not expected:
        with pytest.raises(SpaceError, match="no neutral composition"):
            space_of(folder, text)
        return
    space = space_of(folder, text)
    rows = joined(enumerate_candidates(space, chunk_size=64)).compositions
    whole = rows.integer_amounts()
    found = [
        tuple((int(z), Fraction(int(n), int(row.sum()))) for z, n in zip(numbers, row, strict=True) if z)
        for numbers, row in zip(rows.atomic_numbers, whole, strict=True)
    ]
    # Amounts that four decimals cannot hold would show here.
    assert len(found) == len(set(found)) == len(plan_candidates(space))
    assert set(found) == expected
    assert is_balanced(space, rows).all()


@settings(max_examples=40, deadline=None)
@given(
    metals=st.lists(st.sampled_from(["Al", "Ga", "Y", "Zr", "Hf"]), min_size=2, max_size=5, unique=True),
    moles=st.lists(amounts, min_size=3, max_size=3),
    equal=st.booleans(),
    total=st.booleans(),
)
def test_any_mixture_is_distinct_and_complete(tmp_path_factory, metals, moles, equal, total):
    """Three chlorides and Li2O against plain counting; with equal moles two of the chlorides are alike."""
    states = {"Al": 3, "Ga": 3, "Y": 3, "Zr": 4, "Hf": 4}
    first, second, third = moles[0], moles[0] if equal else moles[1], moles[2]

    def listed(values: list) -> str:
        return "[" + ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in values) + "]"

    text = f"""
name = "random"
mobile_ions = {{ Li = 1 }}
anions = {{ O = -2, Cl = -1 }}
cations = {{ {", ".join(f"{m} = {states[m]}" for m in metals)} }}
[[mixtures]]
covers = "anything"
{'totals = [{ of = ["MCl3", "QCl3"], amount = [2, 3] }]' if total else ""}
end_members = [
  {{ formula = "Li2O", amount = [0.5, 1] }},
  {{ formula = "MCl3", amount = {listed(first)} }},
  {{ formula = "QCl3", amount = {listed(second)} }},
  {{ formula = "RCl4", amount = {listed(third)} }},
]
slots.M = "cations"
slots.Q = "cations"
slots.R = "cations"
"""
    expected = set()
    grids = ([Fraction(str(v)) for v in grid] for grid in ([0.5, 1], first, second, third))
    for o, x, y, z in itertools.product(*grids):
        for one, two, three in itertools.permutations(metals, 3):
            neutral = (states[one], states[two], states[three]) == (3, 3, 4)
            if neutral and (not total or x + y in (2, 3)):
                parts = {"Li": 2 * o, "O": o, one: x, two: y, three: z, "Cl": 3 * (x + y) + 4 * z}
                whole = sum(parts.values())
                expected.add(tuple(sorted((symbols().index(s), v / whole) for s, v in parts.items())))
    folder = tmp_path_factory.mktemp("mixture")
    if not expected:
        with pytest.raises(SpaceError, match="no neutral composition"):
            space_of(folder, text)
        return
    rows = joined(enumerate_candidates(space_of(folder, text), chunk_size=50)).compositions
    found = [
        tuple((int(z), Fraction(int(n), int(row.sum()))) for z, n in zip(numbers, row, strict=True) if z)
        for numbers, row in zip(rows.atomic_numbers, rows.integer_amounts(), strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_incompatible_species_never_meet(tmp_path):
    text = SMALL.replace("[groups]", '[[incompatible]]\npair = ["Sn2+", "Br"]\n[groups]')
    rows = joined(enumerate_candidates(space_of(tmp_path, text))).compositions
    formulas = rows.formulas()
    assert "LiSnBr3" not in formulas
    assert {"LiSnCl3", "LiSnBr5"} <= set(formulas)


def test_users_own_policy_and_elements(tmp_path):
    own = '[policies.no_tin]\nelements = ["Sn"]\nreason = "our supplier has none"\n[mobile_ions]'
    text = SMALL.replace('["toxic"]', '["no_tin"]\nexclude_elements = ["Na"]').replace("[mobile_ions]", own)
    space = space_of(tmp_path, text)
    present = {
        symbols()[z] for z in np.unique(joined(enumerate_candidates(space)).compositions.atomic_numbers)
    }
    assert "Pb" in present, "toxic is not excluded here"
    assert not present & {"Sn", "Na"}
    assert {(e.element, e.policy, e.reason) for e in space.excluded} == {
        ("Sn", "no_tin", "our supplier has none"),
        ("Na", "exclude_elements", "named in exclude_elements"),
    }


def test_policies_by_supply_risk_and_price(tmp_path):
    own = """[policies.concentrated]
max_hhi_production = 4000
[policies.concentrated_reserves]
max_hhi_reserve = 4100
[policies.costly]
max_price_usd_kg = 50
[mobile_ions]"""
    names = '["concentrated", "concentrated_reserves", "costly"]'
    text = SMALL.replace('["toxic"]', names).replace("[mobile_ions]", own)
    text = text.replace("Pb = 2", "Pb = 2\nY = 3\nTa = 5\nTm = 3\nCe = 3")
    space = space_of(tmp_path, text.replace('slots.A = "Li"', 'slots.A = "Na"'))
    left_out = {e.element: (e.policy, e.reason) for e in space.excluded}
    assert left_out == {
        "Li": (
            "concentrated_reserves",
            "supply risk of reserves 4,200 is above 4,100",
        ),
        "Y": ("concentrated", "supply risk of production 9,800 is above 4,000"),
        "Ce": ("concentrated", "supply risk of production 9,500 is above 4,000"),
        "Tm": ("concentrated", "supply risk of production 9,500 is above 4,000"),
        "Br": ("concentrated_reserves", "supply risk of reserves 6,900 is above 4,100"),
        "Ta": ("concentrated_reserves", "supply risk of reserves 4,800 is above 4,100"),
        "Pb": ("costly", "price in its cheapest precursor is not known, so not below 50 USD/kg"),
    }
    present = {symbols()[z] for z in np.unique(plan_candidates(space).systems) if z}
    assert present == {"Na", "Al", "Zr", "Sn", "O", "Cl"}


def test_price_of_an_element_is_that_in_its_cheapest_precursor():
    prices = default_prices()
    usd = prices.usd_per_kg_of_element()
    frame = load_table("precursors")
    zirconium = frame[frame["cation"] == "Zr"]
    mass = Compositions.from_formulas(zirconium["formula"])
    share = mass.amount_of("Zr") * atomic_masses()[40] / mass.masses()
    assert usd[40] == pytest.approx((zirconium["price_usd_kg"] / share).min())
    assert np.isnan(usd[[0, 8, 17, 55, 69]]).all(), "no element, O, Cl, Cs and Tm have no priced precursor"


def test_a_cation_more_electronegative_than_the_anion_never_meets_it(tmp_path):
    text = SMALL.replace("Br = -1", "Br = -1\nS = -2\nTe = -2").replace("Pb = 2", "Pb = 2\nSe = 4\nAu = 3")
    text = text.replace('["Al", "Zr", "Sn", "Pb"]', '["Al", "Se", "Au"]').replace(
        '["Cl", "Br"], amount', '["Cl", "Te"], amount'
    )
    space = space_of(tmp_path, text)
    # Pauling: Se 2.55, Au 2.54, Te 2.1, S 2.58; a difference of up to 0.3 is let pass.
    assert set(space.out_of_order) == {("Se4+", "Te2-"), ("Au3+", "Te2-")}
    systems = {frozenset(symbols()[z] for z in row if z) for row in plan_candidates(space).systems}
    assert {"Li", "Al", "Te"} in systems
    assert {"Li", "Se", "Cl"} in systems
    assert not any({"Se", "Te"} <= system or {"Au", "Te"} <= system for system in systems)


def test_mixtures_of_many_end_members_need_no_full_grid(tmp_path):
    """Seven end members in twentieths: a full grid would have 19**7 rows, 27,132 add up to one."""
    metals = ["Al", "Ga", "In", "Y", "La", "Sc", "Fe"]
    slots = ["M" + "'" * k for k in range(len(metals))]
    grid = "amount = { from = 0.05, to = 0.95, step = 0.05 }"
    members = "\n".join(f'{{ formula = "{slot}X3", {grid} }},' for slot in slots)
    text = f"""
name = "many"
mobile_ions = {{ Li = 1 }}
anions = {{ Cl = -1 }}
cations = {{ {", ".join(f"{metal} = 3" for metal in metals)} }}
[[mixtures]]
covers = "many end members"
totals = [{{ of = {json.dumps([slot + "X3" for slot in slots])}, amount = 1 }}]
end_members = [{{ formula = "LiX", amount = 1 }},
{members}
]
slots.X = "Cl"
"""
    text += "\n".join(f'slots."{slot}" = "{metal}"' for slot, metal in zip(slots, metals, strict=True))
    # Compositions of 20 into 7 positive parts: C(19, 6).
    assert len(plan_candidates(space_of(tmp_path, text))) == 27_132


def test_policies_state_reason_and_source():
    for policy in builtin_policies().values():
        assert policy.reason
        assert policy.source
        assert policy.elements


def test_shipped_spaces_load(shipped):
    assert {"default", "doped-li2zrcl6", "funnel-32m", "oxychloride-glasses", "sodium"} <= shipped.keys()
    for space, plan in shipped.values():
        assert min(plan.origin_counts.values()) > 0, "a family that adds nothing should go"
        assert len(space.sha256) == 64
        entries = (*space.spec.families, *space.spec.mixtures, *space.spec.substitutions)
        assert all(entry.covers for entry in entries), "every family says which electrolytes it covers"
        rows = plan.at(np.random.default_rng(0).integers(len(plan), size=20_000)).compositions
        assert is_balanced(space, rows).all()
        assert is_charge_balanced(rows).all(), "neutral, and anions the more electronegative elements"


FOUND_IN = {
    "oxychloride-glasses": ["LiAlCl2.5O0.75", "Li2ZrOCl4", "Li1.75ZrCl4.75O0.5", "LiTaOCl4"],
    "sodium": ["Na2.25Y0.25Zr0.75Cl6", "NaAlCl4", "NaTaCl6", "Na3PS4", "Na2.9375PS3.9375Cl0.0625"],
    "funnel-32m": [f for f in KNOWN if f not in ("Li2.7In0.7Hf0.3Cl6",)],
}


@pytest.fixture(scope="module")
def shipped() -> dict[str, tuple[Space, CandidatePlan]]:
    """Every shipped space with its plan."""
    spaces = {name: load_space(name) for name in space_names()}
    return {name: (space, plan_candidates(space)) for name, space in spaces.items()}


@pytest.mark.parametrize("name", FOUND_IN)
def test_shipped_spaces_hold_known_electrolytes(name, shipped):
    plan = shipped[name][1]
    wanted = Compositions.from_formulas(FOUND_IN[name])
    absent = [f for f, place in zip(FOUND_IN[name], plan.find(wanted), strict=True) if place < 0]
    assert absent == []


def test_the_large_space_is_planned_whole_and_read_anywhere(shipped):
    plan = shipped["funnel-32m"][1]
    assert len(plan) == 32_820_048, "docs/spaces.md says so"
    assert len(plan) == sum(plan.origin_counts.values())
    at = np.array([0, 123_456, len(plan) // 2, len(plan) - 3])
    for start in at.tolist():
        rows = plan.rows(start, start + 3).compositions
        assert (rows.keys() == plan.at(np.arange(start, start + 3)).compositions.keys()).all()
        # Two neighbours are one composition only as a crystal followed by its glass.
        place = plan.find(rows)
        assert ((place == np.arange(start, start + 3)) | (place == np.arange(start, start + 3) - 1)).all()
