/* The table: all rows sort and filter, only those in view are elements of the page. */
const ROW_HEIGHT = 34, SPARE_ROWS = 8;
const SHOWN = ["rank", "formula", "phase", "p_all_targets", "stack_pressure_mpa", "sigma_ms_cm", "youngs_modulus_gpa", "oxidation_v", "reduction_v",
  "e_above_hull_ev_atom", "cost_usd_l", "cost_usd_kg", "density_g_cm3", "glass_transition_k", "applicability", "pareto_front", "family", "mp_id", "nearest_known", "flags"];
const SHORT = { rank: "#", p_all_targets: "P(all)", stack_pressure_mpa: "Pressure", sigma_ms_cm: "Conductivity", youngs_modulus_gpa: "Young's mod.",
  oxidation_v: "Oxidation", reduction_v: "Reduction", e_above_hull_ev_atom: "Above hull", cost_usd_l: "Cost/L", cost_usd_kg: "Cost/kg", density_g_cm3: "Density",
  glass_transition_k: "Glass trans.", pareto_front: "Front", nearest_known: "Nearest known", applicability: "Applicab." };

function control(id) {
  return document.getElementById(id);
}

/** A test of one row by the words of the search: each must be found, those with a minus must not. */
function wordTest(text) {
  const words = text.trim().split(/\s+/).filter((word) => word && word !== "-");
  const tests = words.map((word) => {
    const wanted = !word.startsWith("-"), term = wanted ? word : word.slice(1);
    if (SYMBOLS.has(term)) return (row) => elementsOf(value("formula", row)).has(term) === wanted;
    const small = term.toLowerCase();
    const places = ["formula", "family", "mp_id", "flags", "nearest_known", "precursor_route"].filter(has);
    return (row) => places.some((name) => String(value(name, row)).toLowerCase().includes(small)) === wanted;
  });
  return (row) => tests.every((test) => test(row));
}

function filterRows() {
  const words = wordTest(control("search").value), phase = control("phase").value, family = control("family").value;
  const name = control("limit-column").value, low = control("limit-side").value === "low", text = control("limit-value").value;
  const limit = text === "" || name === "" ? null : Number(text), front = control("front").checked;
  const rows = [];
  for (let row = 0; row < DATA.rows; row += 1) {
    if (phase && value("phase", row) !== phase) continue;
    if (family && value("family", row) !== family) continue;
    if (front && !value("pareto_front", row)) continue;
    if (limit !== null) {
      const found = value(name, row);
      if (found === null || (low ? found > limit : found < limit)) continue;
    }
    if (words(row)) rows.push(row);
  }
  state.byRank = rows;
  sortRows();
}

function sortRows() {
  const name = state.sort, sign = state.descending ? -1 : 1;
  const order = new Intl.Collator("en", { numeric: true }).compare;
  state.rows = state.byRank.slice().sort((a, b) => {
    const x = value(name, a), y = value(name, b);
    // Unknown values come last, whichever way.
    const xGone = x === null || x === "", yGone = y === null || y === "";
    if (xGone || yGone) return xGone === yGone ? a - b : xGone ? 1 : -1;
    const difference = typeof x === "string" ? order(x, y) : x - y;
    return difference === 0 ? a - b : sign * difference;
  });
}

function setUpTable() {
  const columns = SHOWN.filter(has), grid = control("grid");
  const numeric = (name) => COLUMN.get(name).kind === "number";
  const table = make("table", { class: "rows", role: "grid", "aria-label": "Ranked candidates", "aria-colcount": columns.length });
  const head = make("tr", { role: "row" }), body = make("tbody", {}), above = make("tr", { class: "space", "aria-hidden": "true" }), below = above.cloneNode();
  for (const name of columns) {
    const unit = COLUMN.get(name).unit;
    const button = make("button", { type: "button", title: label(name, true) + ". " + COLUMN.get(name).meaning }, SHORT[name] || label(name), unit ? make("small", {}, unit) : null);
    button.addEventListener("click", () => {
      state.descending = state.sort === name ? !state.descending : numeric(name) && name === "p_all_targets";
      state.sort = name;
      sortRows();
      marks();
      restart();
    });
    head.append(make("th", { scope: "col", "data-name": name, class: (numeric(name) ? "n " : "") + "c-" + name }, button));
  }
  table.append(make("thead", {}, head), body);
  grid.append(table);
  let active = 0;

  function marks() {
    for (const th of head.children) {
      const on = th.dataset.name === state.sort;
      th.setAttribute("aria-sort", on ? (state.descending ? "descending" : "ascending") : "none");
    }
  }

  function rowNode(place) {
    const row = state.rows[place];
    const node = make("tr", { role: "row", "aria-rowindex": place + 2, "data-place": place, tabindex: place === active ? "0" : "-1" });
    for (const name of columns) {
      const content = name === "formula" || name === "nearest_known" ? formulaNode(value(name, row)) : cell(name, row);
      const low = value(name + "_lower", row);
      const hint = low === null ? (name === "flags" ? cell(name, row) : null) : "90%: " + number(low) + " to " + number(value(name + "_upper", row));
      node.append(make("td", { class: (numeric(name) ? "n " : "") + "c-" + name, title: hint }, content));
    }
    return node;
  }

  function render(focus) {
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const last = Math.min(state.rows.length, Math.ceil((grid.scrollTop + grid.clientHeight) / ROW_HEIGHT) + SPARE_ROWS);
    const focused = document.activeElement.closest("tr[data-place]");
    // A row that has the focus is the active one, whatever gave it the focus.
    if (!focus && body.contains(focused)) active = Number(focused.dataset.place);
    const held = focus || body.contains(focused);
    above.style.height = first * ROW_HEIGHT + "px";
    below.style.height = (state.rows.length - last) * ROW_HEIGHT + "px";
    const nodes = [];
    for (let place = first; place < last; place += 1) nodes.push(rowNode(place));
    // Tab must reach the table even where the active row is out of view.
    if (nodes.length && (active < first || active >= last)) nodes[0].tabIndex = 0;
    const scrolled = grid.scrollTop;
    body.replaceChildren(above, ...nodes, below);
    // Taking the focused row away lets the browser lay out an empty table and scroll back.
    if (grid.scrollTop !== scrolled) grid.scrollTop = scrolled;
    if (held) {
      const node = body.querySelector('[data-place="' + active + '"]');
      if (node) node.focus({ preventScroll: true });
    }
  }

  function restart() {
    active = 0;
    grid.scrollTop = 0;
    table.setAttribute("aria-rowcount", state.rows.length + 1);
    const total = DATA.rows.toLocaleString("en-US");
    control("count").textContent = !state.rows.length ? "No row of " + total + " is left; clear the filter." :
      state.rows.length.toLocaleString("en-US") + " of " + total + " rows";
    grid.style.height = Math.min(state.rows.length, 14) * ROW_HEIGHT + 66 + "px";
    render(false);
  }

  function moveTo(place) {
    active = Math.max(0, Math.min(state.rows.length - 1, place));
    const top = active * ROW_HEIGHT, space = grid.clientHeight - head.offsetHeight - ROW_HEIGHT;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top > grid.scrollTop + space) grid.scrollTop = top - space;
    render(true);
  }

  body.addEventListener("click", (event) => {
    const node = event.target.closest("tr[data-place]");
    if (!node) return;
    active = Number(node.dataset.place);
    openCard(state.rows[active], node);
  });
  body.addEventListener("keydown", (event) => {
    const node = event.target.closest("tr[data-place]");
    if (!node) return;
    const place = Number(node.dataset.place);
    const moves = { ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + 12, PageUp: place - 12, Home: 0, End: state.rows.length - 1 };
    if (event.key in moves) { event.preventDefault(); moveTo(moves[event.key]); }
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); active = place; openCard(state.rows[place], node); }
  });
  let waiting = false;
  grid.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    window.requestAnimationFrame(() => { waiting = false; render(false); });
  }, { passive: true });

  const apply = () => { filterRows(); restart(); changed(); };
  const texts = (name) => (has(name) ? [...new Set(values(name, [...Array(DATA.rows).keys()]))].filter(Boolean).sort() : []);
  for (const name of ["phase", "family"]) control(name).append(make("option", { value: "" }, "all"), ...texts(name).map((text) => make("option", { value: text }, text)));
  control("limit-column").append(make("option", { value: "" }, "none"), ...columns.filter(numeric).map((name) => make("option", { value: name }, label(name, true))));
  control("filters").addEventListener("input", debounced(apply, 120));
  control("filters").addEventListener("submit", (event) => event.preventDefault());
  control("filters").addEventListener("reset", () => window.setTimeout(apply, 0));
  filterRows();
  marks();
  restart();
}

setUpTable();
setUpFigures();
setUpCards();
document.documentElement.dataset.ready = "yes";
