from pathlib import Path

import pytest

from softlyte.screening.space import Space, SpaceError, load_space

SMALL = (Path(__file__).parent / "spaces" / "small.toml").read_text(encoding="utf-8")


def space_of(tmp_path, text: str) -> Space:
    path = tmp_path / "space.toml"
    path.write_text(text, encoding="utf-8")
    return load_space(path)


MISTAKES = [
    ('name = "small"', "", "`name` is missing", "add it"),
    ("exclude_policies", "exclude_polices", "`exclude_polices`", "did you mean `exclude_policies`?"),
    ('["toxic"]', '["toxik"]', "'toxik'", "use one of toxic, radioactive, very_rare"),
    ("Al = 3", "Al = -3", "`cations.Al` has the value -3", "change the sign"),
    ("Al = 3", "Al = 3.5", "has the value 3.5", "write a whole number like 3"),
    ("Al = 3", "Ax = 3", "'Ax' is not the symbol of an element", "write one like 'Zr'"),
    ("Pb = 2", "Pb = 2\nCl = 3", "`anions.Cl`", "keep it in one table"),
    ('"Sn", "Pb"]', '"Sn", "Cd"]', "'Cd' is not declared", "use a group or an element declared"),
    ('"Sn", "Pb"]', '"Sn3+"]', "'Sn3+' is not declared", "write one of Sn2+, Sn4+"),
    ('"Sn", "Pb"]', '"metal"]', "contains itself", "take it out"),
    ("[groups]", '[groups]\nanions = ["Al"]', "`groups.anions`", "lower-case words"),
    ("amount = [1, 2, 3]", "amount = [0, 2]", "an amount is not above zero", "leave the slot out"),
    (
        "amount = [1, 2, 3]",
        'amount = "much"',
        "'much' is not an amount",
        "{from = 0.1, to = 0.9, step = 0.1}",
    ),
    ("amount = [1, 2, 3]", "amount = { from = 3, to = 1 }", "the range is empty", "`to` be at least `from`"),
    (
        "amount = [1, 2, 3]",
        "amount = { from = 0.00001, to = 1, step = 0.1 }",
        "finer than 1/10000",
        "coarser step",
    ),
    ("amount = [1, 2, 3]", 'amount = "balance"', "the slots A, X all balance", "let one slot"),
    (
        "amount = 1 }\nslots.X",
        "amuont = 1 }\nslots.X",
        "`families[1].slots.M.amuont`",
        "did you mean `amount`?",
    ),
    ("slots.M = {", "slots.Xx = {", "'Xx' is no slot name", "use an element or one of A, D"),
    (
        'slots.A = { species = "mobile_ions"',
        'slots.A = { species = "Zr"',
        "no slot holds a mobile ion",
        "add a slot",
    ),
    ('species = "metal"', 'species = "Pb"', "every species of it is excluded", "drop the policy"),
    ('formula = "AX"', 'formula = "AX1.5"', "'AX1.5'", "whole numbers"),
    ('formula = "MO2"', 'formula = "QO2"', "names 'MO2', which is not there", "use one of AX, QO2"),
    ('["MO2", "M\'X3"], amount = 1', '["MO2"], amount = 9', "no neutral composition", "widen its amounts"),
    (
        "[glass.formers]",
        "[limits]\nmax_atoms = 0\n[glass.formers]",
        "`limits.max_atoms`",
        "greater than or equal to 2",
    ),
    (
        'covers = "LiAlCl4"',
        'covers = "LiAlCl4"\nlimits = { max_atoms = 3 }',
        "`families[1].name`",
        "or limits",
    ),
    ("[groups]", "[policies.toxic]\nelements = []\nreason = ''\n[groups]", "shipped policy", "another name"),
]


@pytest.mark.parametrize(("old", "new", "named", "remedy"), MISTAKES)
def test_a_mistake_is_one_sentence_with_file_key_value_and_remedy(tmp_path, old, new, named, remedy):
    assert old in SMALL
    with pytest.raises(SpaceError) as error:
        space_of(tmp_path, SMALL.replace(old, new, 1))
    message = str(error.value)
    assert message.startswith(str(tmp_path / "space.toml"))
    assert "\n" not in message
    assert named in message
    assert remedy in message


def test_each_mistake_has_its_own_sentence(tmp_path):
    text = SMALL.replace("Al = 3", "Al = 0").replace('name = "small"', "nmae = 'small'")
    with pytest.raises(SpaceError) as error:
        space_of(tmp_path, text)
    assert len(str(error.value).splitlines()) == 2


def test_a_grid_too_large_is_refused_before_it_is_laid_out(tmp_path):
    huge = "{ from = 0.01, to = 99, step = 0.01 }"
    text = SMALL.replace("amount = [1, 2, 3]", f"amount = {huge}").replace(
        "amount = 1 }\n", f"amount = {huge} }}\n"
    )
    with pytest.raises(SpaceError, match=r"more than 20,000,000 combinations of amounts; narrow the amounts"):
        space_of(tmp_path, text)


def test_unreadable_files(tmp_path):
    with pytest.raises(SpaceError, match=r"cannot be read \(No such file or directory\).*default"):
        load_space(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes('name = "Müller"'.encode("latin-1"))
    with pytest.raises(SpaceError, match=r"latin\.toml: the file is not UTF-8"):
        load_space(tmp_path / "latin.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(SpaceError, match=r"broken\.toml: the file is not valid TOML \(Invalid value"):
        load_space(tmp_path / "broken.toml")
    head = SMALL[: SMALL.index("[[families]]")]
    with pytest.raises(SpaceError, match="neither families nor mixtures"):
        space_of(tmp_path, head)


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path):
    text = SMALL
    for old, new in (
        ('exclude_policies = ["toxic"]', 'exclude_policies = ["toxik"]\nlimit = 3'),
        ("Al = 3", "Al = -3"),
        ('"Sn", "Pb"]', '"Sn", "Cd"]'),
        ("slots.M = { species", 'slots.O = { species = "oxygn", amount = 1 }\nslots.M = { species'),
        ('formula = "AX"', 'formula = "AX1.5"'),
        ('slots.A = "Li"', 'slots.A = "Li"\nslots.Q = "Zr"'),
        ("[glass.formers]", "[limits]\nmax_atoms = 0\n[glass.formers]"),
        (
            "[[mixtures]]",
            '[[families]]\nname = "third"\ncovers = ""\nslots.A = { amount = [] }\n'
            'slots.Xx = { amount = 1 }\n[[substitutions]]\ncovers = "none"\nparents = "Li3YCl6"\n'
            'replace = [{ site = "Y", by = "Sn3+", amount = 0.1 }]\n[[mixtures]]',
        ),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(SpaceError) as error:
        space_of(tmp_path, text)
    sentences = str(error.value).splitlines()
    told = [
        "`limit` with the value 3 is not known; did you mean `limits`?",
        "`limits.max_atoms`",
        "`families[2].covers`",
        "`families[2].slots.A.amount`",
        "`families[2].slots.Xx`",
        "`exclude_policies` has the value 'toxik'",
        "`cations.Al` has the value -3",
        "`groups.metal`",
        "`families[1].slots.O.species`",
        "`mixtures[1].end_members[1].formula`",
        "'Y' is not declared",
    ]
    assert len(sentences) == len(told)
    for part in told:
        assert sum(part in sentence for sentence in sentences) == 1, part
    assert "neutral" not in str(error.value), "an empty family may follow from the wrong charge"


POLICY_MISTAKES = [
    ("elements = ['Sn']", "the list of elements has no reason", 'add reason = "..."'),
    ("reason = 'none'", "the policy leaves nothing out", "give it one of elements, max_hhi_production"),
    ("max_hhi_production = 10001", "less than or equal to 10000", "change it accordingly"),
    ("max_price_usd_kg = 0", "greater than 0", "change it accordingly"),
    ("max_price_eur = 3", "`policies.own.max_price_eur`", "max_price_usd_kg"),
]


@pytest.mark.parametrize(("policy", "named", "remedy"), POLICY_MISTAKES)
def test_a_policy_of_ones_own_is_checked(tmp_path, policy, named, remedy):
    with pytest.raises(SpaceError) as error:
        space_of(tmp_path, SMALL.replace("[groups]", f"[policies.own]\n{policy}\n[groups]"))
    message = str(error.value)
    assert "\n" not in message
    assert named in message
    assert remedy in message
