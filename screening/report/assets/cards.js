/* A card for each candidate, made when it is asked for. */
const FIRST_CARDS = 12, MORE_CARDS = 24;
const GROUPS = [
  ["Mechanics and pressure", ["youngs_modulus_gpa", "bulk_modulus_gpa", "shear_modulus_gpa", "poisson_ratio", "pugh_ratio", "hardness_tian_gpa",
    "hardness_chen_gpa", "yield_strength_gpa", "glass_transition_k", "glass_transition_source", "p_flow", "acting_modulus_gpa",
    "stack_pressure_mpa", "pressure_mechanism", "pressure_modulus", "fabrication_pressure_mpa"]],
  ["Conduction", ["sigma_ms_cm", "conductivity_kept", "sigma_at_pressure_ms_cm"]],
  ["Stability", ["oxidation_v", "reduction_v", "e_above_hull_ev_atom", "p_within_50_mev", "hull_basis"]],
  ["Density and cost", ["density_g_cm3", "cost_usd_kg", "cost_usd_l"]]
];
const PRODUCTS = ["decomposition_products", "reduction_products", "oxidation_products"];
const ELSEWHERE = new Set(["rank", "formula", "mobile_ion", "family", "phase", "p_all_targets", "nearest_known", "distance_to_known",
  "applicability", "flags", "pareto_front", "precursor_route", "mp_id", ...PRODUCTS]);

/** The whole card of one row. */
function card(row) {
  const formula = value("formula", row);
  const tags = [value("phase", row), value("family", row), value("pareto_front", row) ? "Pareto front" : ""].filter(Boolean);
  const node = make("article", { class: "card", "data-row": row });
  node.append(make("h3", {}, make("span", { class: "rank" }, value("rank", row) + ". "), formulaNode(formula)),
    make("p", { class: "tags" }, ...tags.map((tag) => make("span", { class: "tag" }, tag))));
  node.append(...databaseLink(row), drivers(row));
  const cautions = String(value("flags", row) || "").split(";").map((text) => text.trim()).filter(Boolean);
  if (cautions.length) node.append(make("h4", {}, "Cautions"), make("ul", { class: "cautions" }, ...cautions.map((text) => make("li", {}, text))));
  const rest = make("details", { class: "predictions" }, make("summary", {}, "Predictions, with 90% intervals"));
  rest.append(predictions(row));
  node.append(rest, nearest(row), route(row), products(row));
  return node;
}

/** A link to the row's Materials Project page, where the row names one. */
function databaseLink(row) {
  const name = String(value("mp_id", row) || "");
  if (!/^(mp|mvc)-[A-Za-z0-9]+$/.test(name)) return [];
  const address = "https://materialsproject.org/materials/" + name;
  return [make("p", {}, "Materials Project: ", make("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, name))];
}

/** What drives the score: the probability of each target, the weakest marked. */
function drivers(row) {
  const judged = DATA.targets.map((target) => ({ target, chance: target.chance[row] }));
  const found = judged.filter((item) => item.chance !== null);
  const weakest = found.reduce((worst, item) => (worst === null || item.chance < worst.chance ? item : worst), null);
  const list = make("dl", { class: "drivers" });
  for (const { target, chance } of judged) {
    const text = target.label + " " + target.comparison + " " + target.value + " " + target.unit;
    const width = chance === null ? 0 : Math.round(100 * chance);
    const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("span", { class: "fill" }));
    bar.firstChild.style.width = width + "%";
    const weak = weakest && target === weakest.target && found.length > 1;
    list.append(make("dt", {}, text.trim(), weak ? make("span", { class: "weak" }, " holds it back most") : null),
      make("dd", {}, bar, chance === null ? "unknown" : (target.exact ? "" : "≈ ") + number(chance, "p_")));
  }
  const all = make("p", { class: "score" }, "P(all targets) ", make("strong", {}, number(value("p_all_targets", row), "p_all_targets")));
  if (has("applicability")) all.append("; applicability " + number(value("applicability", row)));
  return make("div", {}, all, make("h4", {}, "What drives the score"), list);
}

function predictions(row) {
  const table = make("table", { class: "plain" });
  const head = make("tr", {}, make("th", {}, "Property"), make("th", { class: "n" }, "Median"), make("th", { class: "n" }, "90% interval"), make("th", {}, "Unit"));
  table.append(make("thead", {}, head));
  const listed = new Set(GROUPS.flatMap((group) => group[1]));
  const others = DATA.columns.map((column) => column.name).filter((name) =>
    !listed.has(name) && !ELSEWHERE.has(name) && !/_(lower|upper)$/.test(name) && !(name === "p_below_target_pressure"));
  for (const [title, names] of [...GROUPS, ["Other", others]]) {
    const body = make("tbody", {});
    for (const name of names.filter(has)) {
      const found = value(name, row);
      if (found === null || found === "") continue;
      const low = value(name + "_lower", row), high = value(name + "_upper", row);
      body.append(make("tr", {}, make("th", { scope: "row", title: COLUMN.get(name).meaning }, label(name)), make("td", { class: "n" }, cell(name, row)),
        make("td", { class: "n" }, low === null && high === null ? "" : number(low) + " to " + number(high)), make("td", {}, COLUMN.get(name).unit)));
    }
    if (body.children.length) {
      body.prepend(make("tr", { class: "group" }, make("th", { colspan: 4, scope: "rowgroup" }, title)));
      table.append(body);
    }
  }
  return make("div", { class: "scroll" }, table);
}

function nearest(row) {
  const name = value("nearest_known", row);
  const node = make("div", {}, make("h4", {}, "Nearest known electrolyte"));
  if (!name) {
    node.append(make("p", {}, "None shares an element with it."));
    return node;
  }
  const distance = value("distance_to_known", row);
  node.append(make("p", {}, formulaNode(name), distance === 0 ? ", the same composition" : ", distance " + number(distance) + " (0 same, 1 nothing in common)"));
  const facts = (Object.hasOwn(DATA.facts, name) ? DATA.facts[name] : []), list = make("ul", {});
  for (const fact of facts.slice(0, 6)) {
    const source = /^https?:\/\//.test(fact.address) ? make("a", { href: fact.address, rel: "noopener noreferrer", target: "_blank" }, fact.source) : fact.source;
    list.append(make("li", {}, fact.what + " " + fact.value + ": ", source));
  }
  if (facts.length > 6) list.append(make("li", {}, facts.length - 6 + " more in the cited tables"));
  node.append(list);
  return node;
}

/** Terms of "0.5 Li2O + 0.74 NbCl5 - 0.1 H2O": formula, moles, and whether it leaves the batch. */
function terms(text) {
  const found = [];
  let leaves = false;
  for (const part of String(text).split(/\s([+-])\s/)) {
    if (part === "+" || part === "-") { leaves = part === "-"; continue; }
    const match = /^(?:(\d+(?:\.\d+)?)\s)?(\S+)$/.exec(part.trim());
    if (match) found.push({ name: match[2], moles: match[1] ? Number(match[1]) : 1, leaves });
  }
  return found;
}

function route(row) {
  const text = value("precursor_route", row);
  const node = make("div", {}, make("h4", {}, "Precursors for " + DATA.batch_g + " g"));
  const used = text ? terms(text) : [], product = DATA.molar_masses[value("formula", row)];
  if (!used.length) {
    node.append(make("p", {}, "No priced route."));
    return node;
  }
  const table = make("table", { class: "plain masses" }, make("thead", {}, make("tr", {}, make("th", {}, "Compound"), make("th", { class: "n" }, "mol per mol"), make("th", { class: "n" }, "g"))));
  const body = make("tbody", {});
  for (const term of used) {
    const molar = DATA.molar_masses[term.name];
    const grams = molar && product ? (DATA.batch_g * term.moles * molar) / product : null;
    body.append(make("tr", {}, make("td", {}, formulaNode(term.name), term.leaves ? " (leaves the batch)" : ""), make("td", { class: "n" }, term.moles),
      make("td", { class: "n" }, grams === null ? "not known" : grams.toFixed(4))));
  }
  table.append(body);
  node.append(table);
  return node;
}

function products(row) {
  const node = make("div", {}, make("h4", {}, "What it becomes"));
  const list = make("dl", { class: "becomes" });
  for (const name of PRODUCTS.filter(has)) {
    if (value(name, row)) list.append(make("dt", {}, label(name)), make("dd", {}, formulaNode(value(name, row))));
  }
  node.append(list.children.length ? list : make("p", {}, "No products are known."));
  return node;
}

let opener = null;

function openCard(row, from) {
  const dialog = document.getElementById("dialog");
  opener = from;
  const whole = card(row);
  whole.querySelector("details").open = true;
  document.getElementById("dialog-card").replaceChildren(whole);
  dialog.setAttribute("aria-label", "Candidate " + value("formula", row));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function setUpCards() {
  const dialog = document.getElementById("dialog"), list = document.getElementById("card-list"), more = document.getElementById("more");
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { if (opener && opener.isConnected) opener.focus(); });
  let shown = 0;
  const show = (count) => {
    for (const row of state.byRank.slice(shown, shown + count)) list.append(card(row));
    shown = Math.min(shown + count, state.byRank.length);
    more.hidden = shown >= state.byRank.length;
    more.textContent = "Show more (" + shown.toLocaleString("en-US") + " of " + state.byRank.length.toLocaleString("en-US") + ")";
  };
  const restart = () => { list.replaceChildren(); shown = 0; show(FIRST_CARDS); };
  more.addEventListener("click", () => show(MORE_CARDS));
  state.listeners.push(debounced(restart, 250));
  restart();
}
