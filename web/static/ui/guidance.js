// @ts-check
/** The task as a list of steps, with the current one marked. */

import { create } from "../dom.js";

/** @import { Guidance, GuidanceStep } from "../net/server-events.js" */

/** @type {Record<string, string>} */
const MARKS = { done: "done", current: "now", todo: "" };

/**
 * Show steps under a title; null hides them.
 * @param {HTMLElement} section
 * @param {Guidance | null} guidance
 */
export function showGuidance(section, guidance) {
  section.hidden = !guidance;
  if (!guidance) return;
  section.replaceChildren(create("h3", {}, guidance.title), create("ol", {}, ...guidance.steps.map(stepItem)));
}

/** @param {GuidanceStep} step */
function stepItem({ text, state }) {
  const item = create("li", {}, text);
  item.dataset.state = state;
  if (state === "current") item.ariaCurrent = "step";
  if (MARKS[state]) item.append(" ", create("span", { className: "mark" }, MARKS[state]));
  return item;
}
