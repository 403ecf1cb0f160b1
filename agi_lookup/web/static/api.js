// Our API, with the token that was typed into this tab. Whatever goes wrong is a `Failed` with words for people.

const KEY = "agi-lookup.token";
const SHORT_MS = 10_000;

const SAID = {
  unknown_profile: "The config has no such profile.",
  unknown_provider: "The config has no such provider.",
  too_long: "That is too long for a number.",
  too_short: "That is too short for a number.",
  bad_character: "There is something in it that belongs into no number.",
  never_looked_up: "This is a short code or an extension: it is never looked up.",
  empty: "There is no number in that.",
  not_found: "The server does not hold that (any more).",
};

export class Failed extends Error {
  constructor(words, status = 0) {
    super(words);
    this.status = status;
  }
}

let token = sessionStorage.getItem(KEY) ?? "";

export const hasToken = () => token !== "";

export function useToken(text) {
  token = text;
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/** The JSON of `/api/v1/PATH`. A number in a path is to be encoded by the caller. */
export async function ask(path, { method = "GET", withinMs = SHORT_MS } = {}) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const options = { method, headers, credentials: "omit", cache: "no-store", redirect: "error", signal: AbortSignal.timeout(withinMs) };
  let reply;
  try {
    reply = await fetch(`/api/v1/${path}`, options);
  } catch {
    throw new Failed("The server does not answer.");
  }
  const body = await reply.json().catch(() => null);
  if (!reply.ok) throw new Failed(inWords(reply, body ?? {}), reply.status);
  if (body === null) throw new Failed("The server's answer cannot be read.", reply.status);
  return body;
}

function inWords(reply, body) {
  const word = typeof body.error === "string" ? body.error : "";
  const detail = typeof body.detail === "string" ? ` (${body.detail})` : "";
  switch (reply.status) {
    case 401:
      return token ? "The server does not take this token." : "The server wants its token.";
    case 403:
      return "The server does not let this page in: without a token it is to be opened as localhost or 127.0.0.1.";
    case 404:
      return SAID.not_found;
    case 429: {
      const wait = Number(reply.headers.get("Retry-After"));
      return `Too many wrong tokens from here: the server listens again in ${wait > 0 ? `${wait} s` : "a while"}.`;
    }
    case 503:
      return `The server cannot do that now: ${word.replaceAll("_", " ") || "unavailable"}${detail}.`;
    default:
      return SAID[word] ?? `The server refuses: ${word ? word.replaceAll("_", " ") : reply.status}${detail}.`;
  }
}
