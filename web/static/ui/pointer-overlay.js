// @ts-check
/** The assistant's pointer: its geometry, its position as text, and the box drawn over a picture. */

import { create } from "../dom.js";

/** @import { Box } from "../net/server-events.js" */

const NEAR_TOP = 140; // thousandths; above this there is no room for the label over the box

/**
 * A box as percentages of the picture, and the side on which its label has room.
 * @param {Box} box
 */
export function placePointer([ymin, xmin, ymax, xmax]) {
  return {
    top: ymin / 10,
    left: xmin / 10,
    width: Math.max(0, xmax - xmin) / 10,
    height: Math.max(0, ymax - ymin) / 10,
    below: ymin < NEAR_TOP,
    leftward: (xmin + xmax) / 2 > 600,
  };
}

/**
 * The position of a box as text, such as "at the upper left".
 * @param {Box} box
 */
export function describePosition([ymin, xmin, ymax, xmax]) {
  const row = thirdOf((ymin + ymax) / 2, ["upper", "", "lower"]);
  const column = thirdOf((xmin + xmax) / 2, ["left", "", "right"]);
  if (!row && !column) return "in the middle";
  if (!column) return row === "upper" ? "at the top" : "at the bottom";
  return `at the ${[row, column].filter(Boolean).join(" ")}`;
}

/**
 * Draw the pointer into an overlay that covers exactly the picture; null clears it.
 * @param {HTMLElement} overlay
 * @param {{ box: Box, label: string } | null} pointer
 * @param {{ testid: string, stale: boolean }} options `stale` marks a pointer into a picture that has changed
 */
export function drawPointer(overlay, pointer, { testid, stale }) {
  if (!pointer) return overlay.replaceChildren();
  const { top, left, width, height, below, leftward } = placePointer(pointer.box);
  const box = create("div", { className: "pointer" }, create("span", { className: "pointer-label" }, pointer.label));
  box.dataset.testid = testid;
  box.toggleAttribute("data-stale", stale);
  box.toggleAttribute("data-below", below);
  box.toggleAttribute("data-leftward", leftward);
  Object.assign(box.style, { top: `${top}%`, left: `${left}%`, width: `${width}%`, height: `${height}%` });
  return overlay.replaceChildren(box);
}

/**
 * @param {number} value in thousandths
 * @param {[string, string, string]} names
 */
function thirdOf(value, names) {
  return names[value < 400 ? 0 : value > 600 ? 2 : 1];
}
