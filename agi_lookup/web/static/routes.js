// What calls are routed by: the live book, each vendor's versions, and who gets no calls.

import { ask } from "./api.js";
import { byId, empty, fill, make, table, tag } from "./dom.js";
import { figure, many, NONE, or } from "./words.js";

export const title = "Routes";
export const everyMs = 10_000;

export async function refresh() {
  const { book, trunks, vendors, gaps } = await ask("decks");
  const live = book
    ? `Live: ${many(book.rates, "rate")} of ${many(book.vendors, "vendor")}, book ${book.name}.`
    : "No book of rates is live: calls get no routes, and the dialplan's own trunks take them.";
  fill(byId("decks"),
    make("p", { class: `headline ${gaps.length || (!book && trunks.length) ? "warn" : book ? "ok" : ""}` }, live),
    trunks.length ? make("p", {}, `Trunks of the config: ${trunks.join(", ")}.`) : null,
    gaps.length ? make("section", {}, make("h2", {}, "Gaps"), make("ul", {}, gaps.map((gap) => make("li", {}, gap)))) : null,
    make("h2", {}, "Vendors' decks"),
    vendors.length ? vendors.map(versions) : empty("No deck was imported yet: agi-lookup rates import VENDOR FILE."));
}

function versions({ vendor, versions: all }) {
  return table(`Deck of ${vendor}, the newest version first`, [
    { title: "Version", of: (one) => make("span", { class: "mono" }, one.version) },
    { title: "State", of: (one) => (one.error ? tag("cannot be read", "bad") : one.live ? tag("live", "ok") : one.was_live ? "was live" : NONE) },
    { title: "Rates", kind: "figure", of: (one) => figure(one.rows) },
    { title: "Currencies", kind: "spare", of: (one) => (one.currencies ?? []).join(", ") || NONE },
    { title: "Come into force", kind: "spare", of: (one) => (one.error ? or(one.error) : starts(one.starts ?? [])) },
  ], all);
}

function starts(times) {
  if (!times.length) return NONE;
  const shown = times.slice(0, 3).map((at) => (at === null ? "always" : String(at).replace("T", " ")));
  return shown.join(", ") + (times.length > 3 ? ` and ${times.length - 3} more` : "");
}
