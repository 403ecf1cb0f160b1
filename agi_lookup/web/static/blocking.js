// The rules that block: how far they are trusted, and how often they were wrong.

import { ask } from "./api.js";
import { byId, empty, fill, make, table, tag } from "./dom.js";
import { figure, percent } from "./words.js";

const MODES = { shadow: ["shadow", ""], enforce: ["enforced", "ok"], returned: ["returned to shadow", "bad"] };

export const title = "Blocking";
export const everyMs = 5000;

export async function refresh() {
  const { rules, distrusted, false_block_budget: budget } = await ask("rules");
  fill(byId("rules"), distrust(distrusted), rules.length ? shown(rules, budget) : empty("No rule of the config blocks: every call goes on."));
}

function distrust(places) {
  if (!places.length) return null;
  return make("p", { class: "headline warn" }, `Not believed for now: ${places.join(", ")}. Their answers are not as usual, so what rests on them blocks nobody.`);
}

function shown(rules, budget) {
  return table(`Block rules. A rule may block at most ${percent(budget)} of calls falsely; above that it returns to shadow`, [
    { title: "Rule", of: (rule) => rule.rule },
    { title: "Mode", of: (rule) => tag(...(MODES[rule.mode] ?? [rule.mode, ""])) },
    { title: "False blocks", kind: "right", of: falseBlocks },
    { title: "Would have blocked", kind: "figure", of: (rule) => figure(rule.would_block) },
    { title: "Blocked", kind: "figure", of: (rule) => figure(rule.blocked) },
    { title: "Probes", kind: "figure spare", of: (rule) => figure(rule.probes) },
    { title: "Scored", kind: "figure spare", of: (rule) => figure(rule.scored) },
  ], rules);
}

function falseBlocks({ scored, false_blocks: share, low, high }) {
  if (!scored) return "none scored";
  return `${percent(share)} (${percent(low)} to ${percent(high)})`;
}
