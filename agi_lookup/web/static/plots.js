// Lines over the last fifteen minutes, with uPlot. What a line shows is said in words too: a canvas says nothing to a screen reader.

import { KEPT } from "./series.js";
import { byId } from "./dom.js";
import { clock, short } from "./words.js";

const HEIGHT = 170;
const drawn = new Map();

/** `lines` are `[label, values, colour]`; `top` is the least that the scale reaches to, `most` where it ends. */
export function draw(name, times, lines, { unit = "", top = 1, most = null } = {}) {
  const place = byId(`plot-${name}`);
  const data = [times, ...lines.map(([, values]) => values)];
  let plot = drawn.get(name);
  if (!plot) {
    plot = new window.uPlot(options(place, lines, unit, top, most), data, place);
    drawn.set(name, plot);
    new ResizeObserver(() => resize(place, name)).observe(place);
  } else {
    plot.setData(data);
  }
  if (plot.cursor.idx === null || plot.cursor.idx === undefined) plot.setLegend({ idx: times.length - 1 }); // nobody points: the latest
  const title = place.parentElement.querySelector("figcaption").textContent;
  place.setAttribute("aria-label", `${title}, the last 15 minutes. ${lines.map((line) => inWords(line, unit)).join(" ")}`);
}

function resize(place, name) {
  const plot = drawn.get(name);
  if (plot && place.clientWidth && place.clientWidth !== plot.width) plot.setSize({ width: place.clientWidth, height: HEIGHT });
}

function inWords([label, values], unit) {
  const known = values.filter((value) => value !== null);
  if (!known.length) return `${label}: nothing yet.`;
  const [low, high] = [Math.min(...known), Math.max(...known)].map((value) => short(value) + unit);
  return `${label}: now ${values.at(-1) === null ? "nothing" : short(values.at(-1)) + unit}, between ${low} and ${high}.`;
}

function options(place, lines, unit, top, most) {
  const style = getComputedStyle(document.documentElement);
  const colour = (variable) => style.getPropertyValue(variable).trim();
  const axis = {
    stroke: colour("--dim"),
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { stroke: colour("--grid"), width: 1, size: 4 },
    font: "12px system-ui, sans-serif",
  };
  return {
    width: place.clientWidth || 400,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    scales: {
      x: { time: true, range: (_plot, _low, high) => [high - KEPT, high] },
      y: { range: (_plot, _low, high) => [0, most ?? Math.max(top, (high ?? 0) * 1.1)] },
    },
    axes: [
      { ...axis, size: 30, space: 70, values: (_plot, splits) => splits.map((at) => clock(at).slice(-8, -3)) },
      { ...axis, size: 48, space: 28, values: (_plot, splits) => splits.map((value) => short(value)) },
    ],
    series: [
      { label: "Time", value: (_plot, at) => (at === null ? "" : clock(at)) },
      ...lines.map(([label, , variable]) => ({
        label,
        stroke: colour(variable),
        width: 1.75,
        points: { show: false },
        value: (_plot, value) => (value === null || value === undefined ? "" : short(value) + unit),
      })),
    ],
  };
}

// The colours are read when a plot is made.
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const plot of drawn.values()) plot.destroy();
  drawn.clear();
});
