"""Substitution series around named parents."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import Compositions, symbols
from softlyte.screening.enumerate import enumerate_candidates, plan_candidates
from softlyte.screening.space import Space, SpaceError, load_space

DECLARED = """
name = "series"
[mobile_ions]
Li = 1
[cations]
Mg = 2
Y = 3
Zr = 4
Sn = [2, 4]
Ta = 5
[anions]
O = -2
Cl = -1
Br = -1
[groups]
dopant = ["Mg", "Zr", "Ta"]
"""

LI3YCL6 = """
[[substitutions]]
covers = "Li3-xY1-xZrxCl6"
parents = "Li3YCl6"
replace = [{ site = "Y", by = "dopant", amount = [0.25, 0.5, 1] }]
"""


def space_of(folder: Path, text: str) -> Space:
    path = folder / "space.toml"
    path.write_text(text, encoding="utf-8")
    return load_space(path)


def formulas_of(space: Space) -> dict[str, str]:
    """Return formula -> provenance of the crystals."""
    found = {}
    for chunk in enumerate_candidates(space):
        crystal = chunk.phase == PHASES.index("crystal")
        written = reduced(chunk.compositions[crystal])
        found |= dict(zip(written, (space.provenance[i] for i in chunk.provenance[crystal]), strict=True))
    return found


def reduced(rows: Compositions) -> list[str]:
    """Return formulas in smallest whole numbers."""
    return Compositions(rows.atomic_numbers, rows.integer_amounts().astype(float)).formulas()


def normal(*formulas: str) -> set[str]:
    return set(reduced(Compositions.from_formulas(formulas)))


def test_lithium_makes_up_for_the_charge_of_the_dopant(tmp_path):
    space = space_of(tmp_path, DECLARED + LI3YCL6)
    found = formulas_of(space)
    # An amount of 1 would leave no yttrium: that composition is no substitution in Li3YCl6.
    assert set(found) == normal(
        "Li3YCl6",
        "Li13MgY3Cl24", "Li7MgYCl12",
        "Li11ZrY3Cl24", "Li5ZrYCl12",
        "Li10TaY3Cl24", "Li4TaYCl12",
    )  # fmt: skip
    assert found["Li3YCl6"] == "parent Li3YCl6"
    assert found[normal("Li5ZrYCl12").pop()] == "substitution Li3YCl6 (Y by Zr)"
    assert plan_candidates(space).origin_counts == {"substitution Li3YCl6 (Y by dopant)": 7}


def test_another_species_can_take_up_the_charge(tmp_path):
    text = LI3YCL6.replace("replace", 'balance = "Cl"\nreplace').replace("[0.25, 0.5, 1]", "[0.5]")
    found = formulas_of(space_of(tmp_path, DECLARED + text))
    assert set(found) == normal("Li3YCl6", "Li6MgYCl11", "Li6YZrCl13", "Li6YTaCl14")


def test_vacancies_on_the_site_that_balances(tmp_path):
    text = LI3YCL6.replace('site = "Y", by = "dopant"', 'site = "Li", by = "Mg"').replace(
        "0.25, 0.5, 1", "0.5, 2"
    )
    # 2 Mg would need 4 Li of the three.
    assert set(formulas_of(space_of(tmp_path, DECLARED + text))) == normal("Li3YCl6", "Li2Mg0.5YCl6")


def test_cation_and_anion_at_once_and_several_parents(tmp_path):
    text = """
[[substitutions]]
covers = "two parents"
parents = ["Li2ZrCl6", "Li2SnCl6"]
replace = [
  { site = ["Zr", "Sn"], by = "Y", amount = 0.5 },
  { site = "Cl", by = ["O", "Br"], amount = 1 },
]
"""
    found = formulas_of(space_of(tmp_path, DECLARED + text))
    expected = ["Li2ZrCl6", "Li7ZrYCl10O2", "Li5ZrYCl10Br2", "Li2SnCl6", "Li7SnYCl10O2", "Li5SnYCl10Br2"]
    assert set(found) == normal(*expected)
    assert found[normal("Li7SnYCl10O2").pop()] == "substitution Li2SnCl6 (Sn by Y, Cl by O)"


def test_limits_of_a_series(tmp_path):
    text = LI3YCL6 + "limits = { max_mobile_fraction = 0.28 }\n"
    found = formulas_of(space_of(tmp_path, DECLARED + text))
    # Li3YCl6 is 30% lithium and Li11ZrY3Cl24 28.2%.
    assert set(found) == normal("Li5ZrYCl12", "Li10TaY3Cl24", "Li4TaYCl12")


STATES = {"Mg": (2,), "Zr": (4,), "Sn": (2, 4), "Ta": (5,)}
amounts = st.lists(st.sampled_from([1, "1/2", "1/3", 0.25, 1.4]), min_size=1, max_size=3, unique=True)


@settings(max_examples=40, deadline=None)
@given(
    dopants=st.lists(st.sampled_from(sorted(STATES)), min_size=1, max_size=3, unique=True),
    first=amounts,
    second=st.none() | amounts,
)
def test_any_series_is_complete_and_distinct(tmp_path_factory, dopants, first, second):
    """Two substitutes on one site against plain counting; equal grids make the two places alike."""
    second = first if second is None else second

    def listed(values: list) -> str:
        return "[" + ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in values) + "]"

    text = f"""{DECLARED}
[[substitutions]]
covers = "anything"
parents = "Li3YCl6"
replace = [
  {{ site = "Y", by = {dopants}, amount = {listed(first)} }},
  {{ site = "Y", by = {dopants}, amount = {listed(second)} }},
]
""".replace("'", '"')
    expected = {frozenset({("Li", Fraction(3, 10)), ("Y", Fraction(1, 10)), ("Cl", Fraction(6, 10))})}
    pairs = product([(d, q) for d in dopants for q in STATES[d]], repeat=2)
    for ((one, p), (two, q)), x, y in product(
        pairs, [Fraction(str(v)) for v in first], [Fraction(str(v)) for v in second]
    ):
        lithium, yttrium = 3 + x * (3 - p) + y * (3 - q), 1 - x - y
        if one != two and yttrium > 0 and lithium > 0:
            parts = {"Li": lithium, "Y": yttrium, one: x, two: y, "Cl": Fraction(6)}
            expected.add(frozenset((s, v / sum(parts.values())) for s, v in parts.items()))
    space = space_of(tmp_path_factory.mktemp("series"), text)
    found = []
    for chunk in enumerate_candidates(space):
        rows = chunk.compositions
        for numbers, whole in zip(rows.atomic_numbers, rows.integer_amounts(), strict=True):
            total = int(whole.sum())
            found.append(
                frozenset(
                    (symbols()[z], Fraction(int(n), total)) for z, n in zip(numbers, whole, strict=True) if z
                )
            )
    assert len(found) == len(set(found)) == len(plan_candidates(space))
    assert set(found) == expected


MISTAKES = [
    ('parents = "Li3YCl6"', 'parents = "Li3YCl7"', "its charges do not balance", "correct the formula"),
    ('parents = "Li3YCl6"', 'parents = "Li3Y(Cl6"', "cannot be read", "write it like Li3YCl6"),
    ('parents = "Li3YCl6"', 'parents = "Li3YF6"', "'F' is not declared", "use a group or an element"),
    ('parents = "Li3YCl6"', 'parents = "YCl3"', "fits no element of the parent YCl3", "name exactly one"),
    ('site = "Y"', 'site = "Zr"', "fits no element of the parent Li3YCl6", "name exactly one of its"),
    ('site = "Y"', 'site = ["Y", "Li"]', "fits Li, Y of the parent Li3YCl6", "name exactly one of its"),
    ('by = "dopant"', 'by = "dopnat"', "'dopnat' is not declared", "use a group or an element"),
    ("[0.25, 0.5, 1]", '"balance"', "the amount of dopant balances", "name in `balance` the species"),
    ("[0.25, 0.5, 1]", "[]", "no amount is given", "write 3"),
    ("replace", "replcae", "`substitutions[1].replcae`", "did you mean `replace`?"),
]


@pytest.mark.parametrize(("old", "new", "named", "remedy"), MISTAKES)
def test_a_mistake_is_one_sentence(tmp_path, old, new, named, remedy):
    assert old in LI3YCL6
    with pytest.raises(SpaceError) as error:
        space_of(tmp_path, DECLARED + LI3YCL6.replace(old, new, 1))
    message = str(error.value)
    assert "\n" not in message
    assert named in message
    assert remedy in message


def test_an_excluded_parent_is_named(tmp_path):
    with pytest.raises(SpaceError, match="every species of it is excluded by a policy"):
        space_of(tmp_path, 'exclude_elements = ["Y"]\n' + DECLARED + LI3YCL6)


def test_doped_li2zrcl6_holds_the_known_dopings():
    plan = plan_candidates(load_space("doped-li2zrcl6"))
    known = [
        "Li2ZrCl6",
        "Li2.25Zr0.75Fe0.25Cl6",
        "Li2.1Zr0.95Mg0.05Cl6",
        "Li2.3Zr0.7In0.3Cl6",
        "Li2.2Zr0.8Sc0.2Cl6",
    ]
    rows = Compositions.from_formulas(known)
    places = plan.find(rows)
    assert (places >= 0).all()
    assert (plan.at(places).compositions.keys() == rows.keys()).all()
    assert (plan.find(Compositions.from_formulas(["Li3YCl6", "LiCl", "Li2ZrCl5"])) == -1).all()
    held = {symbols()[z] for z in np.unique(plan.systems) if z}
    assert {"Li", "Zr", "Cl"} <= held
    assert not held & {"Na", "Bi"}
