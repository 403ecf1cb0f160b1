// Figures, times and stable words, for people. `–` stands for what is not known.

export const NONE = "–";

export const isFigure = (value) => typeof value === "number" && Number.isFinite(value);

export function figure(value, places = 0) {
  return isFigure(value) ? value.toLocaleString("en", { maximumFractionDigits: places }) : NONE;
}

/** A rate or a length: three digits that matter. */
export function short(value) {
  if (!isFigure(value)) return NONE;
  return value.toLocaleString("en", { maximumFractionDigits: value >= 100 ? 0 : value >= 10 ? 1 : 2 });
}

export function percent(share, places = 1) {
  if (!isFigure(share)) return NONE;
  const shown = share < 1 ? Math.min(share, 1 - 0.1 ** (places + 2)) : share; // 99.97 % is not all of them
  return `${(shown * 100).toLocaleString("en", { maximumFractionDigits: places })}\u00a0%`;
}

export const seconds = (value) => (isFigure(value) ? milliseconds(value * 1000) : NONE);

export function milliseconds(value) {
  if (!isFigure(value)) return NONE;
  return value >= 1000 ? `${short(value / 1000)}\u00a0s` : `${short(value)}\u00a0ms`;
}

/** Of Unix seconds, by the clock of whoever looks. */
export function clock(at) {
  const moment = new Date(at * 1000);
  const day = moment.toDateString() === new Date().toDateString() ? "" : `${moment.toLocaleDateString("en-CA")} `;
  return day + moment.toLocaleTimeString("en-GB");
}

/** How long ago, or how long still: `40 s`, `12 min`, `3 h`, `5 d`. */
export function span(length) {
  if (!isFigure(length)) return NONE;
  const steps = [[90, 1, "s"], [5400, 60, "min"], [172_800, 3600, "h"], [Infinity, 86_400, "d"]];
  const [, size, unit] = steps.find(([below]) => Math.abs(length) < below);
  return `${Math.round(length / size)}\u00a0${unit}`;
}

/** Money is text, so that no digit is lost; only zeros at the end go. */
export function money(amount, currency) {
  if (amount === null || amount === undefined || amount === "") return NONE;
  const text = String(amount);
  const plain = text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  const grouped = plain.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));
  const unit = currency === "credits" && plain === "1" ? "credit" : currency;
  return `${grouped}${unit ? ` ${unit}` : ""}`;
}

export const many = (count, one, more = `${one}s`) => `${figure(count)} ${count === 1 ? one : more}`;

export const or = (text) => (text === null || text === undefined || text === "" ? NONE : String(text));

/** `out_of_credit` to `out of credit`. */
export const plain = (word) => or(word).replaceAll("_", " ");
