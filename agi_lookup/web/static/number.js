// One number that somebody types: what a call would be told, what is cached, and forgetting it. It stands in no address of the page.

import { ask } from "./api.js";
import { byId, empty, facts, fill, make, say, tag } from "./dom.js";
import { explained } from "./explain.js";
import { clock, many, or, plain } from "./words.js";

const LOOKUP_MS = 30_000;

export const title = "Number";
export const everyMs = 60_000;

/** The profiles that are asked for, to choose from. */
export async function refresh() {
  const { providers } = await ask("providers");
  const names = new Set(["default", ...providers.flatMap((one) => Object.keys(one.profiles))]);
  fill(byId("number-profiles"), [...names].map((name) => make("option", { value: name })));
}

async function act(what) {
  const number = byId("number").value.trim();
  if (!/[0-9]/.test(number)) return say(byId("number-said"), "There is no number in that.", "bad");
  if (what === "forget" && !(await confirmed(number))) return undefined;
  say(byId("number-said"), "");
  fill(byId("number-shown"), make("p", { class: "dim" }, "Asking the server …"));
  busy(true);
  try {
    fill(byId("number-shown"), await DOES[what](encodeURIComponent(number), byId("number-profile").value.trim() || "default"));
  } catch (error) {
    fill(byId("number-shown"));
    say(byId("number-said"), error.message, "bad");
    if (error.status === 401) throw error;
  } finally {
    busy(false);
  }
  return undefined;
}

const DOES = {
  async explain(number, profile) {
    const query = new URLSearchParams({ profile, ...(byId("number-fresh").checked ? { fresh: "yes" } : {}) });
    return explained(await ask(`explain/${number}?${query}`, { withinMs: LOOKUP_MS }));
  },
  async cache(number, profile) {
    const { entries } = await ask(`cache/${number}?${new URLSearchParams({ profile })}`);
    return entries.length ? entries.map(entry) : empty("Nothing is cached of this number: the next call to it is looked up.");
  },
  async forget(number, profile) {
    const { forgotten, calls, recent } = await ask(`cache/${number}?${new URLSearchParams({ profile })}`, { method: "DELETE" });
    const more = [calls ? many(calls, "row") + " of the call log" : "", recent ? many(recent, "recent call") : ""].filter(Boolean);
    say(byId("number-said"), `Forgotten: ${[many(forgotten, "cache entry", "cache entries"), ...more].join(", ")}.`, "ok");
    return [];
  },
};

function entry({ facet, outcome, provider, method, observed_at: observed, fresh_until: fresh, stale_until: stale, body }) {
  const now = Date.now() / 1000;
  const age = now < fresh ? tag("fresh", "ok") : now < stale ? tag("stale", "warn") : tag("too old to use", "bad");
  const known = Object.entries(body ?? {}).filter(([, value]) => value !== null && value !== "");
  return make("section", { class: "card", "aria-label": `Cached ${facet}` },
    make("h2", {}, `${facet === "identity" ? "Who serves it" : "Does it answer"} `, age),
    facts([
      ["Said by", `${or(provider)} (${or(method)}), ${plain(outcome)}`],
      ["Observed", clock(observed)],
      ["Fresh until", clock(fresh)],
      ["Stands in until", clock(stale)],
      ...known.map(([name, value]) => [plain(name), String(value)]),
    ]));
}

function confirmed(number) {
  const dialog = byId("forget");
  byId("forget-number").textContent = number;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function busy(is) {
  for (const button of byId("number-form").querySelectorAll("button")) button.disabled = is;
}

/** `failed(error)` is told of what concerns the whole page. */
export function start(failed) {
  byId("number-form").addEventListener("submit", (event) => {
    event.preventDefault();
    act(event.submitter?.value ?? "explain").catch(failed);
  });
}
