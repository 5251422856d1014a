"""The one vocabulary: every column's name, label, unit and meaning.

Code, tables, CSV files, plots and docs take names, labels and units from here; which columns a result has
stands in columns.py.
"""

from __future__ import annotations

from types import MappingProxyType

from softlyte.datasets.column import Column
from softlyte.datasets.physics_vocabulary import PHYSICS_COLUMNS

_ALL = (
    Column("rank", "Rank", "", "Place in the ranking, 1 is best."),
    Column("formula", "Formula", "", "Reduced composition, elements in electronegativity order."),
    Column("mp_id", "Material id", "", "Of the Materials Project, where a candidate came with one."),
    Column("mobile_ion", "Mobile ion", "", "The ion that conducts: Li or Na."),
    Column("family", "Family", "", "Chemical family, for example chloride or oxychloride."),
    Column("phase", "Phase", "", "crystal or glass."),
    Column("fidelity", "Fidelity", "", "What kind of computation or measurement a number comes from."),
    Column(
        "youngs_modulus_gpa",
        "Young's modulus",
        "GPa",
        "E = 9KG/(3K+G) from the Voigt-Reuss-Hill averages of bulk and shear modulus.",
        predicted=True,
    ),
    Column("bulk_modulus_gpa", "Bulk modulus", "GPa", "Voigt-Reuss-Hill average K.", predicted=True),
    Column("shear_modulus_gpa", "Shear modulus", "GPa", "Voigt-Reuss-Hill average G.", predicted=True),
    Column("hardness_gpa", "Hardness", "GPa", "Indentation (Vickers) hardness.", predicted=True),
    Column(
        "poisson_ratio",
        "Poisson's ratio",
        "",
        "From bulk and shear modulus, between -1 and 0.5.",
        predicted=True,
    ),
    Column(
        "pugh_ratio", "Pugh's ratio K/G", "", "Bulk over shear modulus; ductile above 1.75.", predicted=True
    ),
    Column(
        "hardness_tian_gpa",
        "Hardness (Tian)",
        "GPa",
        "Hardness from K and G by the form of Tian, with its offset and scatter against measured hardness.",
        predicted=True,
    ),
    Column(
        "hardness_chen_gpa",
        "Hardness (Chen-Niu)",
        "GPa",
        "Hardness from K and G by the form of Chen and Niu; empty for soft solids, where it does not hold.",
        predicted=True,
    ),
    Column(
        "yield_strength_gpa",
        "Yield strength",
        "GPa",
        "Hardness (Tian) over 2.8, after Tabor.",
        predicted=True,
    ),
    Column(
        "acting_modulus_gpa",
        "Modulus that acts",
        "GPa",
        "Young's modulus that the contact feels after an hour: the instantaneous one, or flow above Tg.",
        predicted=True,
    ),
    Column(
        "glass_transition_k",
        "Glass transition temperature",
        "K",
        "Temperature at which the glass starts to flow; empty for crystals.",
        predicted=True,
    ),
    Column(
        "log10_sigma_s_cm",
        "log10 ionic conductivity",
        "log10(S/cm)",
        "Decadic logarithm of the ionic conductivity at 25 C.",
        predicted=True,
    ),
    Column("sigma_ms_cm", "Ionic conductivity", "mS/cm", "Ionic conductivity at 25 C.", predicted=True),
    Column(
        "oxidation_v",
        "Oxidation limit",
        "V",
        "Upper limit of the electrochemical window against Li/Li+ (Na/Na+ for sodium).",
        predicted=True,
    ),
    Column(
        "reduction_v",
        "Reduction limit",
        "V",
        "Lower limit of the electrochemical window against Li/Li+ (Na/Na+ for sodium).",
        predicted=True,
    ),
    Column(
        "formation_energy_ev_atom",
        "Formation energy",
        "eV/atom",
        "DFT (PBE, Materials Project) formation energy of the crystal of this composition.",
        predicted=True,
    ),
    Column(
        "e_above_hull_ev_atom",
        "Energy above hull",
        "eV/atom",
        "Energy of the crystal of this composition above the convex hull of known phases; 0 on the hull.",
        predicted=True,
    ),
    Column(
        "hull_basis",
        "Hull calculation",
        "",
        "What window and energy above hull stand on: known (tabulated formation energy), predicted "
        "(networks' formation energy put on the hull), structure (that of a given structure), none (no hull: "
        "the window is the network's).",
    ),
    Column(
        "p_within_50_mev",
        "P(within 50 meV of hull)",
        "",
        "Probability that the crystal lies at most 0.05 eV/atom above the hull of its competing phases.",
    ),
    Column(
        "decomposition_products",
        "Competing phases",
        "",
        "Known phases of the same overall composition with the lowest energy, the phase itself left out.",
    ),
    Column(
        "reduction_products",
        "Products of reduction",
        "",
        "Phases just below the reduction limit; empty where the mobile ion's metal does not reduce it.",
    ),
    Column("oxidation_products", "Products of oxidation", "", "Phases just above the oxidation limit."),
    Column(
        "decomposition_reaction",
        "Decomposition",
        "",
        "Balanced reaction of one formula unit to the competing phases of lowest energy.",
    ),
    Column(
        "reduction_reaction",
        "Reduction",
        "",
        "Balanced reaction of one formula unit below the reduction limit.",
    ),
    Column(
        "oxidation_reaction",
        "Oxidation",
        "",
        "Balanced reaction of one formula unit above the oxidation limit.",
    ),
    Column("partner", "Partner", "", "What the electrolyte touches."),
    Column("partner_formula", "Partner's formula", "", "Composition of what the electrolyte touches."),
    Column(
        "reaction_energy_ev_atom",
        "Reaction energy",
        "eV/atom",
        "Most energy that a mixture of both releases, per atom of the mixture, negative; 0: they coexist.",
    ),
    Column(
        "mutual_energy_ev_atom",
        "Mutual reaction energy",
        "eV/atom",
        "The part of the reaction energy that neither would release alone.",
    ),
    Column(
        "electrolyte_share", "Share of electrolyte", "", "Atomic fraction of electrolyte in that mixture."
    ),
    Column(
        "reaction", "Reaction", "", "Balanced reaction of that mixture, for one formula unit of electrolyte."
    ),
    Column(
        "volume_change",
        "Volume change",
        "",
        "Volume of the solid products over that of the solid reactants, minus 1; empty if one is unknown.",
    ),
    Column("note", "Note", "", "What qualifies the numbers of the row."),
    Column("reason", "Reason", "", "Why the row has no window; empty if it has one."),
    Column("potential_from_v", "From", "V", "Lower end of a step of the profile against the ion's metal."),
    Column("potential_to_v", "To", "V", "Upper end of a step of the profile against the ion's metal."),
    Column(
        "ion_uptake", "Ions taken up", "", "Mobile ions taken up by one formula unit; negative: given off."
    ),
    Column(
        "energy_from_ev_atom", "Energy at the lower end", "eV/atom", "Reaction energy per atom of the phase."
    ),
    Column(
        "energy_to_ev_atom", "Energy at the upper end", "eV/atom", "Reaction energy per atom of the phase."
    ),
    Column("products", "Products", "", "Phases in equilibrium, without the ion's metal."),
    Column("density_g_cm3", "Density", "g/cm3", "Mass density at room temperature.", predicted=True),
    Column(
        "stack_pressure_mpa",
        "Stack pressure",
        "MPa",
        "Pressure a cell must keep up in operation for lasting contact.",
        predicted=True,
    ),
    Column(
        "pressure_mechanism",
        "Contact kept by",
        "",
        "What more probably keeps the contact: elastic, plastic, or flow of a glass above its transition.",
    ),
    Column(
        "pressure_modulus",
        "Pressure computed from",
        "",
        "Which modulus the pressure rests on: pellet from DFT crystal, glass, or flow.",
    ),
    Column(
        "p_flow",
        "P(glass transition below use temperature)",
        "",
        "Probability that the glass flows at the use temperature; 0 for crystals.",
    ),
    Column(
        "glass_transition_source",
        "Glass transition from",
        "",
        "Source of most weight: rule (measured melting), ideal mixture or network; empty for crystals.",
    ),
    Column(
        "conductivity_kept",
        "Conductivity kept",
        "",
        "Fraction of its conductivity that a cold-pressed pellet keeps at the target pressure.",
        predicted=True,
    ),
    Column(
        "sigma_at_pressure_ms_cm",
        "Conductivity at target pressure",
        "mS/cm",
        "Ionic conductivity at 25 C of a cold-pressed pellet at the target pressure.",
        predicted=True,
    ),
    Column(
        "fabrication_pressure_mpa",
        "Fabrication pressure",
        "MPa",
        "Pressure that presses the powder to 90% density (Heckel).",
        predicted=True,
    ),
    Column(
        "p_below_target_pressure",
        "P(stack pressure below target)",
        "",
        "Probability that the needed stack pressure is below the target.",
    ),
    Column(
        "cost_usd_kg",
        "Precursor cost",
        "USD/kg",
        "Precursor cost of one kilogram by the cheapest route.",
        predicted=True,
    ),
    Column(
        "cost_low_usd_kg",
        "Cost, all prices low",
        "USD/kg",
        "Precursor cost if every price stood at the low end of its interval at once.",
    ),
    Column(
        "cost_high_usd_kg",
        "Cost, all prices high",
        "USD/kg",
        "Precursor cost if every price stood at the high end of its interval at once.",
    ),
    Column(
        "cost_usd_l",
        "Precursor cost per litre",
        "USD/L",
        "Precursors of one litre of dense material.",
        predicted=True,
    ),
    Column(
        "cost_usd_m2",
        "Precursor cost per area",
        "USD/m2",
        "Precursors of one square metre of a dense layer of the chosen thickness.",
        predicted=True,
    ),
    Column(
        "sulfide_usd_kg",
        "Sulfide electrolyte price",
        "USD/kg",
        "Reference line: upper end of the sulfide electrolyte price of the reference year.",
    ),
    Column(
        "p_below_sulfide_price",
        "P(cheaper than sulfide)",
        "",
        "Probability that the precursors cost less than the reference line.",
    ),
    Column(
        "batch_recipe",
        "Masses for a batch",
        "",
        "Grams of each precursor for a batch, 10 g if not asked otherwise.",
    ),
    Column(
        "byproducts",
        "Leaves the batch",
        "",
        "Grams of water, hydrogen chloride or carbon dioxide that leave.",
    ),
    Column("order", "Order", "", "Place in the batch: what to make first."),
    Column(
        "p_any",
        "P(at least one so far)",
        "",
        "Probability that at least one of the batch, up to this material, meets all targets.",
    ),
    Column(
        "gain",
        "Adds",
        "",
        "Successes that the material adds to the batch, a further one counted half of the one before.",
    ),
    Column(
        "limiting_target", "Limiting target", "", "The target that the material meets with least probability."
    ),
    Column("p_limiting_target", "P(limiting target)", "", "Probability that this target is met."),
    Column(
        "informs",
        "Informs",
        "",
        "Other candidates of whose error a measurement here removes at least a tenth of the variance.",
    ),
    Column("why", "Why", "", "Why the material was chosen."),
    Column("learned", "Would be learned", "", "What a measurement would tell of other candidates."),
    Column("dearest_precursor", "Dearest precursor", "", "Precursor with the largest share of the cost."),
    Column(
        "dearest_share", "Its share of the cost", "", "Share of the dearest precursor in the cost, 0 to 1."
    ),
    Column(
        "hhi_production",
        "HHI of production",
        "",
        "Herfindahl-Hirschman index of mining by country, mass-weighted, up to 10,000.",
    ),
    Column(
        "hhi_reserve",
        "HHI of reserves",
        "",
        "Herfindahl-Hirschman index of reserves by country, mass-weighted, up to 10,000.",
    ),
    Column(
        "alternative_routes",
        "Other recipes",
        "",
        "Recipes that cost at most 20% more, cheapest first, with their extra cost.",
    ),
    Column("currency", "Currency", "", "ISO 4217 code of the two columns that follow."),
    Column(
        "cost_currency_kg",
        "Precursor cost, chosen currency",
        "currency/kg",
        "Precursor cost of one kilogram in the chosen currency.",
    ),
    Column(
        "cost_currency_l",
        "Precursor cost per litre, chosen currency",
        "currency/L",
        "Precursors of one litre in the chosen currency.",
    ),
    Column(
        "p_all_targets",
        "P(all targets)",
        "",
        "Joint probability that every target holds.",
    ),
    Column(
        "nearest_known", "Nearest known electrolyte", "", "Closest measured electrolyte of the cited tables."
    ),
    Column(
        "distance_to_known",
        "Distance to nearest known",
        "",
        "Half the sum of absolute differences of atomic fractions: 0 same, 1 no element in common.",
    ),
    Column(
        "applicability",
        "Applicability",
        "",
        "1: members agree as on the best held-out rows and measured relatives abound; 0: extrapolation.",
    ),
    Column("flags", "Flags", "", "Cautions, separated by semicolons; empty if none."),
    Column("pareto_front", "Pareto front", "", "True if no other is as good in every target."),
    Column("precursor_route", "Precursor route", "", "Balanced precursors of one formula unit."),
    *PHYSICS_COLUMNS,
)

COLUMNS: MappingProxyType[str, Column] = MappingProxyType({c.name: c for c in _ALL})
"""Every column by name."""
