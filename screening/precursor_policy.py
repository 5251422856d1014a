"""What precursors there are and what each is made from: the choices behind the table `precursors`.

A choice here is chemical or industrial knowledge, not a price; prices come from the cited tables.
"""

from __future__ import annotations

ANIONS: dict[str, int] = {"F": 1, "Cl": 1, "Br": 1, "I": 1, "O": 2, "S": 2}
"""Anions of precursors with their charge, in the order used in arrays."""

ANION_SOURCES = {"F": "HF", "Cl": "Cl2", "Br": "Br2", "I": "I2", "S": "S"}
"""Commodity that brings each anion; oxygen comes from air or stays in the oxide."""

VALENCES: dict[str, tuple[int, ...]] = (
    dict.fromkeys(("Li", "Na", "K", "Rb"), (1,))
    | dict.fromkeys(("Mg", "Ca", "Sr", "Ba", "Mn", "Co", "Ni", "Zn"), (2,))
    | dict.fromkeys(
        ("B", "Al", "Ga", "In", "Sc", "Y", "La", "Pr", "Nd", "Gd", "Tb", "Dy", "Ho", "Er", "Lu"), (3,)
    )
    | dict.fromkeys(("Zr", "Hf", "Si", "Ge"), (4,))
    | dict.fromkeys(("Nb", "Ta", "P"), (5,))
    | {"Bi": (3,), "Cr": (3,), "Mo": (6,), "W": (6,)}
    | {"Ti": (4, 3), "Sn": (4, 2), "Fe": (3, 2), "Cu": (2, 1), "Sb": (3, 5), "V": (3, 4, 5)}
    | {"Ce": (3, 4), "Sm": (3, 2), "Eu": (3, 2), "Yb": (3, 2)}
)
"""Valences that precursors are made in; the first is tried first."""

NOT_MADE = frozenset(
    {"FeI3", "Fe2S3", "CuI2", "VBr4", "VI4", "VCl5", "VBr5", "VI5", "V2S5", "SbBr5", "SbI5", "PI5", "CeCl4"}
    | {"CeBr4", "CeI4", "CeS2", "MoCl6", "MoBr6", "MoI6", "MoS3", "WI6", "WS3", "EuO", "YbO", "SmO"}
)
"""Binary compounds that do not exist or are no goods; they get no price."""

SOURCES = {
    s: s
    for s in ["Mg", "Al", "Ga", "In", "Si", "Sn", "P", "Sb", "Bi", "Cr", "Co", "Ni", "Cu", "Zn", "Zr", "Hf"]
} | {
    "Li": "Li2CO3",
    "B": "borates",
    "Na": "Na2CO3",
    "K": "KCl",
    "Rb": "Rb2CO3",
    "Ca": "CaO",
    "Sr": "SrSO4",
    "Ba": "BaSO4",
    "Sc": "Sc2O3",
    "Y": "Y2O3",
    "La": "La2O3",
    "Ce": "CeO2",
    "Pr": "Pr6O11",
    "Nd": "Nd2O3",
    "Sm": "Sm2O3",
    "Eu": "Eu2O3",
    "Gd": "Gd2O3",
    "Tb": "Tb4O7",
    "Dy": "Dy2O3",
    "Ho": "Ho2O3",
    "Er": "Er2O3",
    "Yb": "Yb2O3",
    "Lu": "Lu2O3",
    "Ti": "TiO2",
    "Ge": "GeO2",
    "V": "V2O5",
    "Nb": "ferroniobium",
    "Ta": "Ta2O5",
    "Mo": "molybdic oxide",
    "W": "WO3",
    "Mn": "manganese ore",
    "Fe": "Fe2O3",
}
"""Commodity that brings each cation."""

OXIDE_SOURCES = {"Al": "Al2O3", "Zr": "ZrOCl2H16O8"}
"""Where the oxide has a nearer source than the halides: alumina; the oxychloride hydrate, calcined."""

REDUCED_FROM_CHLORIDE = frozenset({"Zr", "Hf"})
"""Metals that are made by reducing their chloride with magnesium (Kroll process)."""

LOWER_GUIDES = {"Zr": "ZrSiO4"}
"""Ore from which the low price is estimated where the central one comes from a metal made from the halide."""

NOTES = {
    "Rb": "one company's price; world consumption is a few tons a year",
    "Zr": "sponge less the cost of its reduction from ZrCl4; the low price is estimated from zircon",
    "Hf": "metal less the cost of its reduction from HfCl4",
    "Y": "export controls multiplied prices outside China by 20 to 50 in 2025",
    "Nb": "by chlorination of ferroniobium",
    "B": "from borates as imported, taken as boric acid",
    "Sr": "ore price",
    "Ba": "ore price",
    "Mn": "ore price",
    "Fe": "ore price",
    "W": "ore price",
}

UNPRICED = {
    "Cs": "only laboratory lots are quoted (3,040 USD/kg of CsCl by 50 g) and no market price exists",
    "Tm": "no quotation of thulium was found",
    "H": "hydrides and borohydrides have no cited price",
    "N": "nitrides and amides have no cited price",
    "C": "carboranes and carbides have no cited price; carbonates serve in the hydrate route",
}
"""Why elements that electrolytes hold have no precursor here; anything else was not looked for."""

HYDRATES: dict[str, tuple[str, str, str]] = {
    "Li2CO3": ("lithium carbonate", "Li2CO3", "Li"),
    "LiOH(H2O)": ("lithium hydroxide monohydrate", "LiOH", "Li"),
    "Na2CO3": ("sodium carbonate", "Na2CO3", "Na"),
    "Rb2CO3": ("rubidium carbonate", "Rb2CO3", "Rb"),
    "ZrOCl2(H2O)8": ("zirconium oxychloride octahydrate", "ZrOCl2H16O8", "Zr"),
}
"""Precursors that give off water or carbon dioxide: formula as traded -> name, commodity, cation.

The sources of LiOH do not say its hydrate state; the monohydrate is what the market trades."""

BYPRODUCTS = ("H2O", "HCl", "CO2")
"""What may leave in the hydrate route."""

CITED_COMMODITIES = {
    "lithium carbonate, US contract": "Li2CO3",
    "lithium carbonate, China spot c.i.f.": "Li2CO3",
    "lithium carbonate, battery grade, China": "Li2CO3",
    "lithium carbonate, battery": "Li2CO3",
    "lithium carbonate (LCE)": "Li2CO3",
    "lithium hydroxide, China spot f.o.b.": "LiOH",
    "lithium hydroxide, battery": "LiOH",
    "lithium hydroxide": "LiOH",
    "lithium fluoride": "LiF",
    "lithium sulfide": "Li2S",
    "quicklime": "CaO",
    "iron ore": "Fe2O3",
    "yttrium oxide": "Y2O3",
    "samarium oxide": "Sm2O3",
    "neodymium oxide, Europe": "Nd2O3",
    "hafnium crystal bar 99.9%": "Hf",
    "tantalum pentoxide 99.5%": "Ta2O5",
    "zirconium oxychloride octahydrate": "ZrOCl2H16O8",
    "bromine, China": "Br2",
    "sulfur, China": "S",
    "elemental sulfur": "S",
}
"""Names in the table prices_cited that are commodities here; everything else in it is left aside."""

ORES = frozenset({"Fe2O3"})
"""Commodities of prices_cited that are ores."""
