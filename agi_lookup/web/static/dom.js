// Elements. Text from the server goes in as text (textContent), never as markup: nothing here, or in any other file, reads HTML.

export const byId = (id) => document.getElementById(id);

/** `make("p", {class: "dim"}, "text", child)`; null and undefined children are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Only what has changed is touched: a selection, the focus and a scroll position stay where they are. */
export function fill(place, ...children) {
  const fresh = make("div", {}, ...children);
  place.querySelectorAll("details[open]").forEach((one) => fresh.querySelector(`details[data-key="${CSS.escape(one.dataset.key)}"]`)?.setAttribute("open", ""));
  if (place.childElementCount && same(place, fresh)) return;
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const scrolled = [...place.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  place.replaceChildren(...fresh.childNodes);
  place.querySelectorAll(".scroll").forEach((one, index) => { one.scrollLeft = scrolled[index] ?? 0; });
  if (focused !== undefined) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function same(place, fresh) {
  return place.childNodes.length === fresh.childNodes.length &&
    [...place.childNodes].every((node, index) => node.isEqualNode(fresh.childNodes[index]));
}

export function say(place, text, kind = "") {
  if (place.textContent !== text) place.textContent = text;
  place.classList.remove("ok", "warn", "bad");
  if (kind) place.classList.add(kind);
}

export const empty = (text) => make("p", { class: "card dim" }, text);

/**
 * Columns are `{title, of(row), kind}`; `kind` is a class: `figure` to the right, `fixed` in one line, `spare` not on a phone.
 * The first column names the row. Whoever works by keyboard can scroll the whole.
 */
export function table(caption, columns, rows) {
  const heads = columns.map((c) => make("th", { scope: "col", class: c.kind }, c.title));
  const lines = rows.map((row) => make("tr", {}, columns.map((column, index) =>
    make(index ? "td" : "th", { class: column.kind, scope: index ? null : "row" }, column.of(row)))));
  return make("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 },
    make("table", {}, make("caption", {}, make("span", {}, caption)), make("thead", {}, make("tr", {}, heads)), make("tbody", {}, lines)));
}

/** Names and what they are, `[[name, value], ...]`. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { class: "facts" }, shown.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

export const tag = (text, kind = "") => make("span", { class: `tag ${kind}` }, text);

/** A bar beside a text that says the same. */
export function bar(share) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const full = document.createElementNS(space, "rect");
  const part = Math.min(1, Math.max(0, share));
  svg.setAttribute("class", `meter ${part >= 1 ? "bad" : part >= 0.8 ? "warn" : ""}`);
  svg.setAttribute("width", "100%");
  svg.setAttribute("aria-hidden", "true");
  full.setAttribute("width", `${(part * 100).toFixed(1)}%`);
  full.setAttribute("height", "100%");
  svg.append(full);
  return svg;
}
