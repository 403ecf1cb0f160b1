// One decision in full: what is known, who was asked, what each rule said, why each route won or lost.

import { facts, make, table, tag } from "./dom.js";
import { isFigure, milliseconds, money, NONE, or, plain, span } from "./words.js";

const KINDS = { OK: "ok", PARTIAL: "", TIMEOUT: "warn", DEGRADED: "bad", EMERGENCY: "", BADNUMBER: "" };
const FATES = {
  chosen: "chosen",
  beyond_max: "good enough, but more routes than the dialplan takes",
  no_rate: "its deck has no rate for this number",
  no_trunk: "no trunk of the config is this vendor's",
  too_dear: "dearer than the cost limit",
  no_profit: "would earn too little",
  no_fx: "no exchange rate for its currency",
  fx_stale: "the exchange rate is too old",
  full: "as many calls as the trunk takes are under way",
  too_fast: "as many calls a second as the trunk takes",
  suspended: "suspended: its calls fail",
  out_of_hours: "not at this hour",
  denied_country: "the trunk takes no calls to this country",
  denied_carrier: "the trunk takes no calls to this carrier",
  blocked: "the vendor's deck blocks this destination",
};

export const statusTag = (status) => tag(or(status), KINDS[status] ?? "");

function ruling({ action, rule }) {
  if (action === "block") return make("span", {}, tag("block", "bad"), rule ? ` by ${rule}` : "");
  return rule ? `${or(action)} (${rule})` : or(action);
}

export function explained(shown) {
  const { identity, liveness, steps, attempts = [], rules, routes = [], candidates } = shown;
  return make("div", { class: "explained" },
    make("div", { class: "cards" }, make("section", { class: "card", "aria-label": "The number" }, facts([
      ["Number", or(shown.number)],
      ["Country, type", `${or(shown.country)}, ${plain(shown.type)}; valid: ${or(shown.valid)}`],
      ["Network now", network(identity.carrier, identity.mccmnc)],
      ["Network that issued it", network(identity.orig_carrier, identity.orig_mccmnc)],
      ["Ported", or(identity.ported)],
      ["LRN, OCN", identity.lrn || identity.ocn ? `${or(identity.lrn)}, ${or(identity.ocn)}` : null],
      ["Reachable", `${or(liveness.reachable)} (${plain(liveness.reason)}); roaming: ${or(liveness.roaming)}`],
    ])), make("section", { class: "card", "aria-label": "The decision" }, facts([
      ["Status", statusTag(shown.status)],
      ["Decision", ruling(shown)],
      ["From", `${or(shown.source)}; cache: ${or(shown.cache)}${isFigure(shown.age_s) ? `, observed ${span(shown.age_s)} ago` : ""}`],
      ["Cost", Object.entries(shown.costs ?? {}).map(([currency, cost]) => money(cost, currency)).join(" + ") || "nothing"],
      ["Error", shown.error ? plain(shown.error) : null],
      ["Took", milliseconds(shown.ms)],
      ["Profile", shown.profile],
      ["Channel", shown.channel],
    ]))),
    steps ? part("Steps", table("Steps, in order", [
      { title: "Step", of: (step) => step.step },
      { title: "Took", kind: "figure", of: (step) => milliseconds(step.ms) },
      { title: "What came of it", of: (step) => or(step.result) },
    ], steps), steps.length) : null,
    part("Sources asked", table("Sources asked, in order", [
      { title: "Source", of: (one) => one.provider },
      { title: "Took", kind: "figure", of: (one) => milliseconds(one.ms) },
      { title: "Cost", kind: "figure", of: (one) => money(one.cost, one.currency) },
      { title: "What came", of: (one) => plain(one.result) },
    ], attempts), attempts.length, "Nobody was asked."),
    rules ? part("Rules", table("Rules, in order", [
      { title: "Rule", of: (one) => one.rule },
      { title: "Does", of: (one) => or(one.action) },
      { title: "Matches", of: (one) => or(one.matches) },
    ], rules), rules.length, "The config has no rules.") : null,
    part("Routes", table("Routes, in the order in which they are to be tried", [
      { title: "Trunk", of: (one) => one.trunk },
      { title: "A minute", kind: "figure", of: (one) => money(one.rate, one.currency) },
      { title: "Why here", of: (one) => or(one.why) },
      { title: "Dial", kind: "spare", of: (one) => make("span", { class: "mono" }, one.dial) },
    ], routes), routes.length, "No routes: the dialplan has trunks of its own."),
    candidates?.length ? part("What became of each candidate", table("Candidate routes", [
      { title: "Vendor", of: (one) => or(one.vendor) },
      { title: "Trunk", of: (one) => or(one.trunk) },
      { title: "Outcome", of: (one) => fate(one.fate) },
      { title: "Rate for", kind: "spare", of: (one) => (one.kind ? `${plain(one.kind)} ${one.key}` : NONE) },
      { title: "A minute", kind: "figure", of: (one) => money(one.cost) },
    ], candidates), candidates.length) : null);
}

const network = (carrier, code) => (carrier || code ? `${or(carrier)}${code ? ` (${code})` : ""}` : NONE);

function fate(word) {
  return word === "chosen" ? tag("chosen", "ok") : FATES[word] ?? plain(word);
}

function part(title, shown, count, without = "None.") {
  return make("section", {}, make("h2", {}, title), count ? shown : make("p", { class: "dim" }, without));
}
