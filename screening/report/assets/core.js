/* Data access, text and small helpers, shared by the other parts. */
const DATA = JSON.parse(document.getElementById("data").textContent);
const COLUMN = new Map(DATA.columns.map((column) => [column.name, column]));
const state = { rows: [], sort: "rank", descending: false, listeners: [] };

/** Value of a column in a row: number, text, boolean, or null where it is unknown. */
function value(name, row) {
  const column = COLUMN.get(name);
  if (!column) return null;
  if (column.kind === "text") return column.texts[column.codes[row]];
  return column.kind === "flag" ? Boolean(column.data[row]) : column.data[row];
}

function values(name, rows) {
  return rows.map((row) => value(name, row));
}

function has(name) {
  return COLUMN.has(name);
}

function label(name, withUnit) {
  const column = COLUMN.get(name);
  if (!column) return name;
  return withUnit && column.unit ? column.label + " (" + column.unit + ")" : column.label;
}

/** A number as a person reads it: three digits, thousands grouped, tiny probabilities as a bound. */
function number(x, name) {
  if (x === null || x === undefined) return "–";
  if (name && name.startsWith("p_") && x > 0 && x < 1e-6) return "<0.000001";
  const size = Math.abs(x);
  if (size >= 1000 && size < 1e6) return Math.round(x).toLocaleString("en-US");
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) {
    const parts = x.toExponential(1).split("e");
    return parts[0].replace(/\.0$/, "") + "×10" + superscript(Number(parts[1]));
  }
  return String(Number(x.toPrecision(3)));
}

function superscript(power) {
  return String(power).replace(/[-0-9]/g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)]));
}

function cell(name, row) {
  const found = value(name, row);
  if (typeof found === "boolean") return found ? "yes" : "";
  return typeof found === "string" ? found : number(found, name);
}

/** An element with text inside: all texts of the data go through here or createTextNode. */
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, content] of Object.entries(attributes || {})) {
    if (name === "class") node.className = content;
    else if (content !== null && content !== undefined) node.setAttribute(name, content);
  }
  for (const child of children) {
    if (child !== null && child !== undefined) {
      node.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
  }
  return node;
}

/** A formula with its amounts set low. */
function formulaNode(text) {
  const node = make("span", { class: "formula" });
  for (const part of String(text).split(/((?:\d+\.)?\d+)/)) {
    if (part) node.append(/^\d/.test(part) ? make("sub", {}, part) : document.createTextNode(part));
  }
  return node;
}

/** Text for Plotly, which reads a little markup. */
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

const SYMBOLS = new Set(DATA.elements.map((element) => element.symbol));

function elementsOf(formula) {
  return new Set((String(formula).match(/[A-Z][a-z]?/g) || []).filter((symbol) => SYMBOLS.has(symbol)));
}

function debounced(action, wait) {
  let timer = 0;
  return () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(action, wait);
  };
}

function changed() {
  for (const listener of state.listeners) listener();
}
