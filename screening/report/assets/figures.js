/* Figures: drawn when they come into view, from the rows that the filter leaves. */
const MOST_POINTS = 2000;
const MOST_WHISKERS = 12;
const MOST_WINDOWS = 25;
const BEST_FOR_ELEMENTS = 100;
const DARK = "#1b3a57", MIDDLE = "#5d86a8", LIGHT = "#b9c8d6", WARM = "#c4561a", INK = "#222";
const CONFIG = { displaylogo: false, responsive: true, scrollZoom: false, plotlyServerURL: "", showSendToCloud: false,
  // Room for the buttons is above the plot; a phone has none, and zooms by itself.
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };
const LINEAR = new Set(["oxidation_v", "reduction_v", "e_above_hull_ev_atom", "formation_energy_ev_atom",
  "glass_transition_k", "poisson_ratio", "log10_sigma_s_cm"]);

const narrow = () => window.innerWidth < 600;

function layout(extra) {
  return Object.assign({
    margin: narrow() ? { l: 52, r: 8, t: 8, b: 48 } : { l: 70, r: 16, t: 34, b: 56 },
    font: { family: "system-ui, sans-serif", size: narrow() ? 11 : 13, color: INK },
    paper_bgcolor: "#fff", plot_bgcolor: "#fff", hovermode: "closest", dragmode: narrow() ? false : "zoom",
    legend: { orientation: "h", x: 0, y: narrow() ? -0.2 : -0.16, yanchor: "top", font: { size: narrow() ? 10 : 12 } },
    hoverlabel: { align: "left", bgcolor: "#fff", bordercolor: INK, font: { color: INK } }
  }, extra);
}

function axis(name, extra) {
  const log = !LINEAR.has(name);
  const ticks = log ? { type: "log", dtick: 1, exponentformat: "power", minor: { showgrid: false } } : {};
  return Object.assign({ title: { text: plain(label(name, true)), standoff: 10 }, gridcolor: "#e6e9ec",
    linecolor: "#8a949e", zeroline: false, automargin: true, ticks: "outside", ticklen: 4, tickfont: { size: narrow() ? 10 : 11 } }, ticks, extra);
}

const drawable = (x, y) => (row) => [x, y].every((name) => {
  const found = value(name, row);
  return found !== null && (LINEAR.has(name) || found > 0);
});

/** Error bars of a 90% interval, for the rows that `shown` holds (null: for all). */
function whiskers(name, rows, points, shown) {
  const log = !LINEAR.has(name);
  const reach = (end, sign) => rows.map((row, place) => {
    const limit = value(name + end, row);
    if (limit === null || (shown && !shown.has(row))) return 0;
    return Math.max(0, sign * ((log ? Math.max(limit, 1e-9) : limit) - points[place]));
  });
  return { type: "data", symmetric: false, array: reach("_upper", 1), arrayminus: reach("_lower", -1),
    color: "rgba(40,60,80,0.35)", thickness: 1, width: 0 };
}

/** Candidates as points: crystals and glasses by symbol, the Pareto front dark. */
function candidates(x, y, rows) {
  const shown = new Set(rows.slice(0, MOST_WHISKERS));
  const kinds = [["crystal", true, "square"], ["crystal", false, "square-open"], ["glass", true, "circle"],
    ["glass", false, "circle-open"]];
  const traces = [];
  for (const [phase, front, symbol] of kinds) {
    const chosen = rows.filter((row) => value("phase", row) === phase && Boolean(value("pareto_front", row)) === front);
    if (chosen.length) traces.push(points(x, y, chosen, phase + (front ? ", on the Pareto front" : ""), symbol, front, shown));
  }
  const other = rows.filter((row) => !["crystal", "glass"].includes(value("phase", row)));
  if (other.length) traces.push(points(x, y, other, "other", "diamond-open", false, shown));
  return traces.reverse();
}

function points(x, y, rows, name, symbol, strong, shown) {
  const xs = values(x, rows), ys = values(y, rows);
  const text = rows.map((row) => "<b>" + plain(value("formula", row)) + "</b> (" + plain(value("phase", row)) + ", rank " +
    value("rank", row) + ")<br>" + [x, y].map((c) => plain(label(c)) + ": " + withInterval(c, row)).join("<br>") +
    "<br>P(all targets): " + number(value("p_all_targets", row), "p_all_targets"));
  return { type: "scatter", mode: "markers", x: xs, y: ys, name, text, hovertemplate: "%{text}<extra></extra>",
    customdata: rows, marker: { symbol, size: strong ? 9 : 7, color: strong ? DARK : MIDDLE, line: { width: 1, color: strong ? DARK : MIDDLE } },
    error_x: whiskers(x, rows, xs, shown), error_y: whiskers(y, rows, ys, shown) };
}

function withInterval(name, row) {
  const low = value(name + "_lower", row), high = value(name + "_upper", row);
  const unit = COLUMN.get(name) && COLUMN.get(name).unit ? " " + COLUMN.get(name).unit : "";
  const middle = number(value(name, row), name) + unit;
  return low === null || high === null ? middle : middle + " [" + number(low) + ", " + number(high) + "]";
}

function targetLines(x, y) {
  const shapes = [], annotations = [];
  for (const target of DATA.targets) {
    for (const [along, name] of [["x", x], ["y", y]]) {
      if (target.column !== name || (!LINEAR.has(name) && target.value <= 0)) continue;
      const across = along === "x" ? "y" : "x";
      shapes.push({ type: "line", [along + "0"]: target.value, [along + "1"]: target.value, [across + "0"]: 0,
        [across + "1"]: 1, [across + "ref"]: "paper", line: { color: WARM, width: 1.5, dash: "dash" } });
      annotations.push({ [along]: LINEAR.has(name) ? target.value : Math.log10(target.value), [across]: along === "x" ? 1 : 0,
        [across + "ref"]: "paper", text: "target " + target.comparison + " " + target.value + " " + plain(target.unit),
        showarrow: false, font: { color: WARM, size: 11 }, bgcolor: "rgba(255,255,255,0.8)",
        xanchor: "left", yanchor: along === "x" ? "top" : "bottom", textangle: 0 });
    }
  }
  return { shapes, annotations };
}

function best() {
  // The best rows by rank, whatever the table is sorted by.
  return state.byRank.slice(0, MOST_POINTS);
}

function drawnNote(rows, what) {
  const total = state.rows.length;
  return (rows.length < total ? "Drawn: " + rows.length.toLocaleString("en-US") + " of " : "Drawn: all ") +
    total.toLocaleString("en-US") + " rows that the filter leaves" + (what || "") + ".";
}

/** Known electrolytes that have room for a name beside them: measured ones first, then in the tables' order. */
function labelled(known) {
  const place = (k) => [Math.log10(k.youngs_gpa[0]), Math.log10(k.sigma_ms_cm[0])];
  const kept = new Set();
  for (const k of [...known].sort((a, b) => Number(a.computed) - Number(b.computed))) {
    const [x, y] = place(k);
    const free = [...kept].every((other) => { const [u, v] = place(other); return Math.abs(x - u) > 0.6 || Math.abs(y - v) > 0.25; });
    if (free) kept.add(k);
  }
  return kept;
}

function mapFigure(node) {
  const x = "youngs_modulus_gpa", y = "sigma_ms_cm";
  const rows = best().filter(drawable(x, y));
  document.getElementById("map-note").textContent = drawnNote(rows) + " Whiskers are 90% intervals of the best " +
    Math.min(MOST_WHISKERS, rows.length) + " (every point shows its own when pointed at); for the known electrolytes they are the range of cited values.";
  const traces = candidates(x, y, rows), named = labelled(DATA.known);
  for (const [computed, symbol, name] of [[false, "star", "known, modulus measured"], [true, "cross-thin-open", "known, modulus computed"]]) {
    const known = DATA.known.filter((point) => point.computed === computed);
    if (!known.length) continue;
    const range = (key) => ({ type: "data", symmetric: false, array: known.map((k) => k[key][2] - k[key][0]),
      arrayminus: known.map((k) => k[key][0] - k[key][1]), color: "rgba(196,86,26,0.5)", thickness: 1, width: 0 });
    traces.push({ type: "scatter", mode: narrow() ? "markers" : "markers+text", name, x: known.map((k) => k.youngs_gpa[0]),
      y: known.map((k) => k.sigma_ms_cm[0]), text: known.map((k) => (named.has(k) ? plain(k.formula) : "")), textposition: "top center",
      textfont: { size: 9, color: "#7a3510" }, hovertext: known.map((k) => "<b>" + plain(k.formula) + "</b><br>" +
      "Young's modulus: " + number(k.youngs_gpa[0]) + " GPa (" + (k.computed ? "computed" : "measured") +
      ")<br>Conductivity: " + number(k.sigma_ms_cm[0]) + " mS/cm"), hoverinfo: "text",
      marker: { symbol, size: 10, color: WARM, line: { width: 2, color: WARM } }, error_x: range("youngs_gpa"), error_y: range("sigma_ms_cm") });
  }
  const marks = targetLines(x, y);
  DATA.pressure.lines.forEach((line, place) => {
    const dash = line.phase === "glass" ? "dot" : "dashdot";
    if (line.low_gpa !== null && line.high_gpa !== null) {
      marks.shapes.push({ type: "rect", x0: line.low_gpa, x1: line.high_gpa, y0: place ? 0 : 0.965, y1: place ? 0.035 : 1, yref: "paper",
        fillcolor: "rgba(0,0,0,0.10)", line: { width: 0 }, layer: "below" });
    }
    marks.shapes.push({ type: "line", x0: line.youngs_gpa, x1: line.youngs_gpa, y0: 0, y1: 1, yref: "paper", line: { color: INK, width: 1.3, dash } });
    marks.annotations.push({ x: Math.log10(line.youngs_gpa), y: place ? 0.06 : 0.9, yref: "paper", showarrow: false, xanchor: "right",
      text: DATA.pressure.target_mpa + " MPa, " + line.phase, font: { size: 11 }, bgcolor: "rgba(255,255,255,0.8)" });
  });
  return draw(node, traces, layout({ xaxis: axis(x), yaxis: axis(y), ...marks }));
}

function tradeoffsFigure(node) {
  const x = document.getElementById("axis-x").value, y = document.getElementById("axis-y").value;
  const rows = best().filter(drawable(x, y));
  return draw(node, candidates(x, y, rows), layout({ xaxis: axis(x), yaxis: axis(y), ...targetLines(x, y) }));
}

function costFigure(node) {
  const x = "stack_pressure_mpa", y = has("cost_usd_l") ? "cost_usd_l" : "cost_usd_kg";
  const rows = best().filter(drawable(x, y));
  return draw(node, candidates(x, y, rows), layout({ xaxis: axis(x), yaxis: axis(y), ...targetLines(x, y) }));
}

function windowsFigure(node) {
  const rows = state.byRank.filter((row) => value("oxidation_v", row) !== null && value("reduction_v", row) !== null).slice(0, MOST_WINDOWS);
  document.getElementById("windows-note").textContent = "The best " + rows.length +
    " rows that the filter leaves, best on top. Bars run from the reduction to the oxidation limit against Li/Li⁺ (Na/Na⁺ for sodium); whiskers are 90% intervals (upper: of the reduction limit, lower: of the oxidation limit).";
  const low = values("reduction_v", rows), high = values("oxidation_v", rows), place = rows.map((_, i) => i);
  const text = rows.map((row) => "<b>" + plain(value("formula", row)) + "</b> (" + plain(value("phase", row)) + ")<br>" +
    "Reduction: " + withInterval("reduction_v", row) + "<br>Oxidation: " + withInterval("oxidation_v", row) +
    "<br>Hull: " + plain(value("hull_basis", row) || ""));
  // Above and below the middle of the bar: wide intervals of both limits overlap.
  const ends = (name, xs, shift) => ({ type: "scatter", mode: "markers", x: xs, y: place.map((p) => p + shift), customdata: rows, hoverinfo: "skip", showlegend: false,
    marker: { size: 6, color: DARK, symbol: "circle" }, error_x: { ...whiskers(name, rows, xs, null), color: DARK, thickness: 1.4 } });
  const bars = { type: "bar", orientation: "h", base: low, x: high.map((v, i) => v - low[i]), y: place, customdata: rows, showlegend: false,
    text, textposition: "none", hovertemplate: "%{text}<extra></extra>", marker: { color: LIGHT, line: { color: MIDDLE, width: 1 } } };
  node.style.height = Math.max(220, 90 + 22 * rows.length) + "px";
  return draw(node, [bars, ends("reduction_v", low, -0.13), ends("oxidation_v", high, 0.13)], layout({
    xaxis: axis("oxidation_v", { title: { text: "Potential (V)" } }), bargap: 0.35, ...targetLines("oxidation_v", ""),
    yaxis: { tickvals: place, ticktext: rows.map((row) => value("rank", row) + "  " + plain(value("formula", row)) + (value("phase", row) === "glass" ? " g" : " c")), autorange: "reversed",
      automargin: true, tickfont: { size: narrow() ? 9 : 12 } } }));
}

function elementsFigure(node) {
  const rows = state.byRank.slice(0, BEST_FOR_ELEMENTS), count = new Map();
  for (const row of rows) for (const symbol of elementsOf(value("formula", row))) count.set(symbol, (count.get(symbol) || 0) + 1);
  document.getElementById("elements-note").textContent = "How many of the best " + rows.length +
    " rows that the filter leaves contain each element; palest: none does.";
  const z = [], text = [], hover = [];
  for (let r = 0; r < 9; r += 1) { z.push(Array(18).fill(null)); text.push(Array(18).fill("")); hover.push(Array(18).fill("")); }
  for (const element of DATA.elements) {
    const found = count.get(element.symbol) || 0, r = element.row - 1, c = element.column - 1;
    z[r][c] = found;
    text[r][c] = element.symbol + (found && !narrow() ? "<br>" + found : "");
    hover[r][c] = element.name + ": in " + found + " of " + rows.length;
  }
  const axes = { visible: false, fixedrange: true };
  return draw(node, [{ type: "heatmap", z, text, hovertext: hover, hoverinfo: "text", hoverongaps: false, texttemplate: "%{text}", xgap: 2, ygap: 2, zmin: 0,
    textfont: { size: narrow() ? 9 : 13 }, colorscale: [[0, "#f4f5f6"], [0.001, "#dbe6ef"], [0.5, "#7fa3c1"], [1, DARK]],
    colorbar: { thickness: 10, title: { text: "rows", side: "right" } }, showscale: !narrow() }],
    layout({ margin: { l: 4, r: 4, t: 4, b: 4 }, xaxis: axes, yaxis: { ...axes, autorange: "reversed" } }));
}

function funnelFigure(node) {
  const order = [], left = new Map();
  for (const step of DATA.funnel) { if (!left.has(step.tier)) order.push(step.tier); left.set(step.tier, step.out); }
  const given = DATA.funnel.length ? DATA.funnel[0].in : 0;
  const names = ["offered", ...order], counts = [given, ...order.map((tier) => left.get(tier))];
  return draw(node, [{ type: "bar", orientation: "h", y: names.map((n, i) => i), x: counts, text: counts.map((n) => n.toLocaleString("en-US")),
    textposition: "auto", cliponaxis: false, marker: { color: MIDDLE }, hovertext: names.map((n, i) => plain(n) + ": " + counts[i].toLocaleString("en-US") + " left"), hoverinfo: "text" }],
    layout({ xaxis: { type: "log", dtick: 1, range: [0, Math.log10(Math.max(10, given)) + 0.35], title: { text: "candidates left" }, gridcolor: "#e6e9ec", exponentformat: "power" },
      yaxis: { tickvals: names.map((n, i) => i), ticktext: names.map(plain), autorange: "reversed", automargin: true } }));
}

const FIGURES = { map: mapFigure, tradeoffs: tradeoffsFigure, windows: windowsFigure, cost: costFigure, elements: elementsFigure, funnel: funnelFigure };
const seen = new Set();

function draw(node, traces, figureLayout) {
  return Plotly.react(node, traces, figureLayout, { ...CONFIG, displayModeBar: narrow() || node.classList.contains("still") ? false : "hover" }).then(() => {
    node.dataset.drawn = "yes";
    if (node.dataset.listening) return;
    node.dataset.listening = "yes";
    node.on("plotly_click", (event) => {
      const row = event.points[0] && event.points[0].customdata;
      if (typeof row === "number") openCard(row, null);
    });
  });
}

function redraw(name) {
  const node = document.getElementById("figure-" + name);
  node.dataset.drawn = "";
  FIGURES[name](node);
}

function setUpFigures() {
  const columns = [...new Set(DATA.targets.map((target) => target.column))].filter(has);
  for (const [id, place] of [["axis-x", 0], ["axis-y", 1]]) {
    const select = document.getElementById(id);
    for (const name of columns) select.append(make("option", { value: name }, label(name, true)));
    select.selectedIndex = Math.min(place, columns.length - 1);
    select.addEventListener("change", () => redraw("tradeoffs"));
  }
  document.getElementById("map-line").textContent = pressureText();
  const list = make("ul", {});
  for (const point of DATA.known) {
    list.append(make("li", {}, formulaNode(point.formula), " (" + point.name + "): modulus " + (point.computed ? "computed" : "measured") +
      ", " + point.modulus_source + "; conductivity, " + point.sigma_source));
  }
  document.getElementById("map-known").append(list);
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const name = entry.target.id.slice("figure-".length);
      if (entry.isIntersecting && !seen.has(name)) { seen.add(name); redraw(name); }
    }
  }, { rootMargin: "300px" });
  for (const name of Object.keys(FIGURES)) watcher.observe(document.getElementById("figure-" + name));
  state.listeners.push(debounced(() => { for (const name of seen) if (name !== "funnel") redraw(name); }, 250));
}

function pressureText() {
  const lines = DATA.pressure.lines.map((line) => number(line.youngs_gpa) + " GPa for a " + line.phase +
    (line.low_gpa !== null && line.high_gpa !== null ? " (band: 95% likely at " + number(line.low_gpa) + ", 5% at " + number(line.high_gpa) + " GPa)" : ""));
  if (!lines.length) return "No Young's modulus between 0.0001 and 1000 GPa marks the pressure target, so no line is drawn.";
  return "Pressure does not follow from the modulus alone. The lines say where a solid that does not flow has an even chance to need less than " +
    DATA.pressure.target_mpa + " MPa, for a Poisson's ratio of 0.35: " + lines.join("; ") + ". A crystal's modulus is that of the perfect crystal, " +
    "its pellet is softer. The grey bands are wide because published pressures scatter by decades. A glass above its transition keeps contact " +
    "by flowing and meets the target on either side of its line. Each row's own pressure, in table and card, takes all of this into account.";
}
