// The providers: can they be asked, what do they answer, what do they cost.

import { ask } from "./api.js";
import { bar, byId, empty, facts, fill, make, table, tag } from "./dom.js";
import { figure, isFigure, money, NONE, or, percent, plain, seconds, span } from "./words.js";

const DAY_S = 86_400;

const WHY = {
  auth: "the vendor refuses our credentials",
  out_of_credit: "the account is empty",
  no_webhook: "its webhooks do not come",
  tls: "it could not prove who it is",
  timeout: "it answers too late",
  unavailable: "it is not reached",
  lost_reply: "its replies are lost",
  bad_answer: "its answers cannot be understood",
};

export const title = "Providers";
export const everyMs = 3000;

export async function refresh() {
  const [{ providers, now }, spend] = await Promise.all([ask("providers"), ask("spend?days=7")]);
  const none = "No provider is configured: the numbering plan answers alone, for nothing.";
  fill(byId("providers"), providers.length ? make("div", { class: "cards" }, providers.map((one) => card(one, now))) : empty(none));
  showSpend(spend);
}

/** `ok`, or in words what holds requests back. */
export function health({ state, why, for_s: length }) {
  if (state === "ok") return tag("ok", "ok");
  if (state === "paused") return make("span", {}, tag("paused", "warn"), ` it said “too many”; goes on in ${span(length)}`);
  const then = isFigure(length) ? `tried again in ${span(length)}` : "until that is mended";
  return make("span", {}, tag(plain(state), "bad"), ` ${WHY[why] ?? plain(why)}; ${then}`);
}

function card(one, now) {
  const { health: how, connections, rate, latency_s: latency, balance, requests } = one;
  const asked = Object.values(requests).reduce((sum, count) => sum + count, 0);
  const places = Object.entries(one.profiles).map(([profile, place]) => `${profile} (place ${place})`).join(", ");
  const error = how.last_error ? `${plain(how.last_error)}, ${isFigure(how.last_error_at) ? `${span(now - how.last_error_at)} ago` : "earlier"}` : null;
  return make("section", { class: "card", "aria-label": `Provider ${one.name}` },
    make("h2", {}, one.name),
    make("p", {}, health(how)),
    facts([
      ["Kind", `${one.kind}; tells ${one.facets.join(" and ") || "nothing"}${one.in_call ? "" : "; fills the cache behind the calls"}`],
      ["Asked by", places || "no profile"],
      ["Requests", make("span", {}, `${figure(asked)} since the start`, asked ? `: ${mix(requests, asked)}` : "")],
      ["Time", latency.count ? `p50 ${seconds(latency.p50)}, p95 ${seconds(latency.p95)}, p99 ${seconds(latency.p99)}` : "not asked yet"],
      ["Connections", `${figure(connections.in_use)} of ${figure(connections.limit)} in use${how.waiting ? `, ${figure(how.waiting)} numbers wait` : ""}`],
      ["Rate", rate ? `at most ${figure(rate.per_minute)} a minute${rate.next_in_s > 0 ? `; used up for ${span(rate.next_in_s)}` : ""}` : null],
      ["Last error", error],
      ["Spent today", one.currency ? money(one.spent_today, one.currency) : "free"],
      ["Balance", balance ? balanceOf(balance, now) : one.currency ? "not told yet" : null],
      ...one.caps.map((cap) => [`Cap ${length(cap.seconds)}`, capOf(cap)]),
    ]));
}

function mix(requests, asked) {
  const sorted = Object.entries(requests).sort(([, a], [, b]) => b - a);
  return sorted.map(([word, count]) => `${plain(word)} ${figure(count)} (${percent(count / asked)})`).join(", ");
}

function balanceOf({ amount, currency, low_balance: low, at }, now) {
  const isLow = low !== null && Number(amount) < Number(low);
  return make("span", { class: isLow ? "bad" : null }, `${money(amount, currency)}${isLow ? ", low" : ""}, read ${span(now - at)} ago`);
}

const share = (cap) => (Number(cap.cap) > 0 ? Number(cap.spent) / Number(cap.cap) : 1);

function capOf(cap) {
  const text = `${money(cap.spent)} of ${money(cap.cap, cap.currency)} (${percent(share(cap), 0)}), ${money(cap.left)} left`;
  return make("span", {}, text, bar(share(cap)));
}

const length = (all) => (all === DAY_S ? "a day" : `in ${span(all)}`);

function showSpend({ stopped, days, caps }) {
  const stop = stopped ? make("p", { class: "headline warn" }, "budget.stop is set: nothing is paid for.") : null;
  fill(byId("caps"), stop, caps.length ? table("Caps, and what is spent of them", [
    { title: "Cap of", of: (cap) => `${cap.of} ${cap.name}` },
    { title: "For", kind: "fixed", of: (cap) => length(cap.seconds) },
    { title: "Spent", of: capOf },
  ], caps) : empty("No caps: what is spent is bounded by the accounts alone. See budget in the config."));
  fill(byId("days"), days.length ? table("The last seven days (UTC), the newest first", [
    { title: "Day", kind: "fixed", of: (day) => day.day },
    { title: "Provider", of: (day) => or(day.provider) },
    { title: "Charged", kind: "figure", of: (day) => money(day.charged, day.currency) },
    { title: "Numbers", kind: "figure spare", of: (day) => figure(day.numbers) },
    { title: "Requests", kind: "figure spare", of: (day) => figure(day.requests) },
    { title: "Outcome unknown", kind: "figure spare", of: (day) => (day.unknown ? figure(day.unknown) : NONE) },
  ], [...days].reverse()) : empty("Nothing was spent in the last seven days."));
}
