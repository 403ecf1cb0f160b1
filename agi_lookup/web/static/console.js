// The page: which view is shown, what is asked when, what to do when the server is gone or wants its token.

import { ask, hasToken, useToken } from "./api.js";
import * as blocking from "./blocking.js";
import * as calls from "./calls.js";
import { byId, say } from "./dom.js";
import * as now from "./now.js";
import * as number from "./number.js";
import * as providers from "./providers.js";
import * as routes from "./routes.js";
import { add, last } from "./series.js";
import { clock } from "./words.js";

const VIEWS = { now, providers, blocking, calls, number, routes };
const LIVE_MS = 2000;
const GAP_S = 15;

let view = "now";
let asking = false; // for the token: nothing is asked of the server until somebody has typed it
let answeredAt = 0;
const turns = {};

/** `work` again and again while somebody looks, until something else takes its turn. */
async function every(key, ms, work) {
  const turn = Symbol(key);
  turns[key] = turn;
  const beat = async () => {
    if (turns[key] !== turn) return;
    if (!asking && !document.hidden) await attempt(work);
    if (turns[key] === turn) setTimeout(beat, ms);
  };
  await beat();
}

async function attempt(work) {
  try {
    await work();
    answered();
  } catch (error) {
    failed(error);
  }
}

async function live() {
  const before = last();
  const missed = !before || Date.now() / 1000 - answeredAt > GAP_S;
  const { history = [], ...snapshot } = await ask(missed ? "live?history=yes" : "live");
  add([...history, snapshot]);
  if (view === "now") now.showLive();
}

function answered() {
  answeredAt = Date.now() / 1000;
  byId("gone").hidden = true;
}

/** The server is gone, wants its token, or refuses. */
function failed(error) {
  if (error.status === 401) return askForToken(error.message);
  if (error.status === undefined) console.error(error); // ours
  const since = answeredAt ? ` What you see is of ${clock(answeredAt)}.` : "";
  const text = error.status === 0 ? `No answer from the server${answeredAt ? ` since ${clock(answeredAt)}` : ""}. It is asked again every few seconds.` : `${error.message}${since}`;
  say(byId("gone"), text, "bad");
  byId("gone").hidden = false;
  return undefined;
}

function askForToken(text) {
  const mistyped = hasToken();
  useToken("");
  asking = true;
  byId("gone").hidden = true;
  say(byId("token-said"), mistyped ? text : "", "bad");
  show();
  byId("token").focus();
}

function show() {
  for (const name of Object.keys(VIEWS)) byId(`view-${name}`).hidden = asking || name !== view;
  byId("ask-token").hidden = !asking;
  document.querySelector("nav").hidden = asking;
  byId("leave").hidden = asking || !hasToken();
  document.title = `${asking ? "Token" : VIEWS[view].title} · agi_lookup`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** What the address asks for; returns its heading. */
function open() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  view = Object.hasOwn(VIEWS, name) ? name : "now";
  const heading = VIEWS[view].open?.(decoded(rest.join("/"))) ?? byId(`${view}-title`);
  show();
  return heading;
}

function route({ focus = true } = {}) {
  const heading = open();
  if (asking) return;
  if (focus) heading.focus(); // what a new page would do
  if (view === "now" && last()) now.showLive();
  every("view", VIEWS[view].everyMs, VIEWS[view].refresh);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** First what tells whether we are let in: each request without the right token counts as a guess. */
async function begin({ focus = false } = {}) {
  asking = false;
  open();
  await every("live", LIVE_MS, live);
  if (!asking) route({ focus });
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byId("token").value.trim());
  byId("token").value = "";
  begin({ focus: true });
});
byId("leave").addEventListener("click", () => askForToken(""));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
window.addEventListener("hashchange", () => route());
document.addEventListener("visibilitychange", () => { if (!document.hidden && !asking) begin(); });
number.start(failed);
begin();
