// @ts-check
/** The tokens a conversation has used, by kind, as the engine counts them. */

import { create, uiElement } from "../dom.js";

/** Sums over turns, shown once there is anything to show. */
export class UsagePanel {
  #section;
  /** @type {Map<string, number>} */
  #sums = new Map();

  /** @param {HTMLElement} section */
  constructor(section) {
    this.#section = section;
  }

  /**
   * Add one turn's counts, such as { total: 120 }.
   * @param {Record<string, number>} [counts]
   */
  add(counts = {}) {
    for (const [kind, count] of Object.entries(counts)) {
      if (Number.isFinite(count)) this.#sums.set(kind, (this.#sums.get(kind) ?? 0) + count);
    }
    this.#section.hidden = this.#sums.size === 0;
    uiElement(this.#section, "usage-list").replaceChildren(...[...this.#sums].map(row));
  }
}

/** @param {[kind: string, count: number]} sum */
function row([kind, count]) {
  const name = create("dt", {}, `${kind.replaceAll("_", " ")} tokens`);
  return create("div", {}, name, create("dd", {}, count.toLocaleString("en")));
}
