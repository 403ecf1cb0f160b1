// What happens now: one sentence, figures of the last minute, alarms with what to do, plots, who was asked.

import { ask } from "./api.js";
import { byId, empty, fill, make, say, table, tag } from "./dom.js";
import { draw } from "./plots.js";
import { health } from "./providers.js";
import { last, over, points } from "./series.js";
import { clock, figure, many, milliseconds, percent, plain, seconds, short, span } from "./words.js";

const WINDOW_S = 60;
const POINT_S = 10;
const RECENT_S = 15 * 60;
const SPEAK_MS = 60_000;

let alarms = [];
let providers = [];
let spokenAt = -Infinity;
let spokenKind = "";

export const title = "Now";
export const everyMs = 5000;

export async function refresh() {
  ({ providers } = await ask("providers"));
  showAsked();
}

/** After each answer of `/live`. */
export function showLive() {
  const did = over(WINDOW_S);
  const live = last();
  alarms = live.alarms ?? alarms;
  const { kind, text } = headline(live, did);
  say(byId("now-head"), text, kind);
  speak(kind, text);
  showTiles(live, did);
  showAlarms(live.now);
  showAsked();
  showPlots();
}

function headline(live, did) {
  const bad = [];
  const warn = [];
  if (!live.ready) warn.push("The server is starting, or finishing its last calls before it stops.");
  if (did && did.inTime !== null && did.inTime < 0.99) bad.push(`Only ${percent(did.inTime)} of the calls were answered in time.`);
  if (did && (did.statuses.DEGRADED ?? 0) > did.calls * 0.01) bad.push(`${many(did.statuses.DEGRADED, "call")} went on without a lookup: overload, or a fault of ours.`);
  if (did?.bugs) bad.push(`${many(did.bugs, "bug")}: see the log.`);
  if (did?.dropped) warn.push("Log lines are dropped: the log's reader is slow.");
  if (live.loop_lag_s > 0.1) warn.push(`The event loop is ${seconds(live.loop_lag_s)} late.`);
  const raised = alarms.filter((one) => live.now - one.at < RECENT_S);
  if (raised.length) warn.push(`${many(raised.length, "alarm")} in the last 15 minutes: ${raised.map((one) => plain(one.code)).join(", ")}.`);
  const flow = !did ? "Watching; the first figures come in a moment." : did.calls ? `${many(did.calls, "call")} in the last minute.` : "No calls in the last minute.";
  if (bad.length) return { kind: "bad", text: [...bad, ...warn, flow].join(" ") };
  if (warn.length) return { kind: "warn", text: [...warn, flow].join(" ") };
  return { kind: did ? "ok" : "", text: did ? `All is well. ${flow}` : flow };
}

/** For screen readers: what is new at once, else once a minute. */
function speak(kind, text) {
  const now = performance.now();
  if (kind === spokenKind && now - spokenAt < SPEAK_MS) return;
  spokenAt = now;
  spokenKind = kind;
  byId("spoken").textContent = text;
}

function showTiles(live, did) {
  const part = (share) => did && did.quantile(share);
  const late = did && did.inTime !== null && did.inTime < 0.99;
  const shown = {
    rate: [short(did?.rate)],
    in_time: [percent(did?.inTime, 2), late ? "bad" : ""],
    hit: [percent(did?.hit)],
    p50: [seconds(part(0.5))],
    p95: [seconds(part(0.95))],
    p99: [seconds(part(0.99))],
    sessions: [figure(live.sessions)],
    lookups: [figure(live.lookups)],
    lag: [milliseconds(Math.round(live.loop_lag_s * 10_000) / 10), live.loop_lag_s > 0.1 ? "warn" : ""],
  };
  for (const [key, [text, kind = ""]] of Object.entries(shown)) {
    const tile = byId(`tile-${key}`);
    tile.className = `tile ${kind}`;
    say(tile.querySelector("dd"), text);
  }
}

function showAlarms(now) {
  const recent = alarms.filter((one) => now - one.at < RECENT_S);
  const older = alarms.filter((one) => now - one.at >= RECENT_S);
  if (!alarms.length) return fill(byId("alarms"), empty("None since the server was started."));
  return fill(byId("alarms"),
    recent.length ? listed(recent, now) : empty("None in the last 15 minutes."),
    older.length ? make("details", { "data-key": "older" },
      make("summary", { "data-key": "older-summary" }, `${many(older.length, "alarm")} of earlier, since the server was started`),
      listed(older, now)) : null);
}

const listed = (some, now) => make("ul", { class: "alarms" }, some.map((one) => alarm(one, now)));

function alarm({ code, at, detail }, now) {
  const words = document.querySelector(`template[data-alarm="${CSS.escape(code)}"]`);
  return make("li", {},
    make("p", {}, tag(plain(code), "warn"), ` ${clock(at)}, ${span(Math.max(0, now - at))} ago. `, make("strong", {}, detail)),
    words?.content.cloneNode(true));
}

function showAsked() {
  const did = over(WINDOW_S);
  if (!providers.length) return fill(byId("asked"), empty("No provider is configured: the numbering plan answers alone."));
  const rows = providers.map((one) => ({ ...one, asked: did?.sources[one.name] ?? {} }));
  return fill(byId("asked"), table("Providers, and what the lookups of the last minute brought", [
    { title: "Provider", of: (row) => row.name },
    { title: "Health", of: (row) => health(row.health) },
    { title: "Answers", kind: "figure", of: (row) => figure(row.asked.answer ?? 0) },
    { title: "Errors", of: (row) => errors(row.asked) },
  ], rows));
}

export function errors(results) {
  const words = Object.entries(results).filter(([word, count]) => word !== "answer" && count > 0).sort(([, a], [, b]) => b - a);
  return words.map(([word, count]) => `${plain(word)} ${figure(count)}`).join(", ") || "none";
}

function showPlots() {
  const all = points(POINT_S);
  const times = all.map((one) => one.at);
  const line = (of) => all.map((one) => (one.did ? of(one.did) : null));
  const part = (share) => line((did) => scaled(did.quantile(share), 1000));
  const now = (of) => all.map((one) => of(one.snapshot));
  draw("calls", times, [
    ["all", line((did) => did.rate), "--plot-1"],
    ["blocked", line((did) => did.blocked / did.seconds), "--plot-2"],
    ["would block", line((did) => did.wouldBlock / did.seconds), "--plot-3"],
  ]);
  draw("latency", times, [["p50", part(0.5), "--plot-1"], ["p95", part(0.95), "--plot-2"], ["p99", part(0.99), "--plot-3"]], { unit: " ms" });
  draw("shares", times, [
    ["in time", line((did) => scaled(did.inTime, 100)), "--plot-1"],
    ["found in the cache", line((did) => scaled(did.hit, 100)), "--plot-2"],
  ], { unit: " %", most: 103 });
  draw("load", times, [["sessions", now((s) => s.sessions), "--plot-1"], ["lookups", now((s) => s.lookups), "--plot-2"]], { top: 4 });
}

const scaled = (value, by) => (value === null ? null : value * by);
