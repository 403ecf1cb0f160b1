// The last calls, and one of them in full. Numbers come masked; the page's address holds the call's id only.

import { ask } from "./api.js";
import { byId, empty, facts, fill, make, say, table, tag } from "./dom.js";
import { explained, statusTag } from "./explain.js";
import { clock, many, milliseconds, or, plain } from "./words.js";

const MOST = 500;
const FIELDS = ["number", "number_id", "country", "type", "profile", "channel", "status", "action", "rule", "source", "error", "carrier", "mccmnc", "trunk"];

let calls = [];
let one = "";
let shownOne = "";

export const title = "Calls";
export const everyMs = 3000;

/** `#calls` or `#calls/ID`. */
export function open(id) {
  one = id;
  byId("calls-list").hidden = id !== "";
  byId("call-one").hidden = id === "";
  return byId(id ? "call-title" : "calls-title");
}

export async function refresh() {
  if (one) return showOne(one);
  if (byId("calls-hold").checked && calls.length) return undefined;
  ({ calls } = await ask(`calls?limit=${MOST}`));
  choices("calls-status", calls.map((call) => call.status));
  choices("calls-rule", calls.map((call) => call.rule));
  return showAll();
}

async function showOne(id) {
  if (shownOne === id) return; // what was decided does not change
  fill(byId("call"), make("p", { class: "dim" }, "Asking the server …"));
  say(byId("call-title"), "One call");
  try {
    const call = await ask(`calls/${encodeURIComponent(id)}`);
    if (one !== id) return;
    say(byId("call-title"), `Call of ${clock(call.at)}`);
    fill(byId("call"), explained(call));
    shownOne = id;
  } catch (error) {
    if (error.status !== 404) throw error;
    fill(byId("call"), empty("This call has left the list, or its number was forgotten. The server keeps the last calls only (http.recent_calls)."), row(id));
  }
}

/** What the list said of it. */
function row(id) {
  const call = calls.find((each) => each.id === id);
  return call ? make("div", { class: "card" }, facts(FIELDS.map((field) => [plain(field), call[field]]))) : null;
}

/** The words that occur, and what was chosen before. */
function choices(id, words) {
  const select = byId(id);
  const wanted = [...new Set(words.filter(Boolean))].sort();
  const known = [...select.options].slice(1).map((option) => option.value);
  for (const word of wanted.filter((each) => !known.includes(each))) select.append(make("option", {}, word));
}

function showAll() {
  const [status, action, rule, text] = ["status", "action", "rule", "text"].map((name) => byId(`calls-${name}`).value);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = calls.filter((call) =>
    (!status || call.status === status) && (!action || call.action === action) && (!rule || call.rule === rule) && has(call, words));
  say(byId("calls-count"), calls.length === found.length ? many(calls.length, "call") : `${found.length} of ${many(calls.length, "call")}`);
  if (!calls.length) return fill(byId("calls"), empty("No calls since the server was started (or http.recent_calls is 0)."));
  if (!found.length) return fill(byId("calls"), empty("No call fits the filters."));
  return fill(byId("calls"), table("Recent calls, the newest first. The time leads to the whole decision", [
    { title: "Time", kind: "fixed", of: link },
    { title: "Number", kind: "fixed", of: (call) => make("span", { class: "mono" }, or(call.number)) },
    { title: "Country", kind: "spare", of: (call) => or(call.country) },
    { title: "Status", of: (call) => [statusTag(call.status), call.action === "block" ? [" ", tag("block", "bad")] : ""] },
    { title: "Action", kind: "spare", of: (call) => (call.rule ? `${call.action}: ${call.rule}` : or(call.action)) },
    { title: "Carrier", kind: "spare", of: (call) => or(call.carrier) },
    { title: "From", kind: "fixed spare", of: (call) => `${or(call.source)}, ${or(call.cache)}` },
    { title: "Trunk", kind: "spare", of: (call) => or(call.trunk) },
    { title: "Error", kind: "spare", of: (call) => plain(call.error) },
    { title: "Took", kind: "figure spare", of: (call) => milliseconds(call.ms) },
  ], found));
}

function has(call, words) {
  const text = FIELDS.map((field) => call[field] ?? "").join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function link(call) {
  return make("a", { href: `#calls/${encodeURIComponent(call.id)}`, "data-key": call.id }, clock(call.at));
}

byId("calls-form").addEventListener("input", showAll);
byId("calls-form").addEventListener("submit", (event) => event.preventDefault());
