// @ts-check
/** The words that the engine reads on the shared screen, drawn over its preview on request. */

import { create } from "../dom.js";
import { readJson } from "../net/http.js";
import { placePointer } from "../ui/pointer-overlay.js";

/** @import { Box } from "../net/server-events.js" */

/** @typedef {{ text: string, box: Box, confidence: number }} ReadWord */

const SURE = 0.6; // as the engine: less is shown dashed

const INTERVAL = 3_000; // ms between two readings: each takes the server half a second, and counts as a request

/** The boxes of one overlay, read anew when the picture changes while they are wanted. */
export class WordBoxes {
  #overlay;
  #fetch;
  #isWanted = false;
  #timer = 0;
  #readAt = -INTERVAL; // ms of performance.now()

  /**
   * @param {HTMLElement} overlay covers exactly the picture
   * @param {() => Promise<Response>} fetch the words of the newest picture
   */
  constructor(overlay, fetch) {
    this.#overlay = overlay;
    this.#fetch = fetch;
  }

  /**
   * Show the words from now on, or hide them.
   * @param {boolean} isWanted
   */
  show(isWanted) {
    this.#isWanted = isWanted;
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (isWanted) return this.#draw();
    this.#overlay.replaceChildren();
  }

  /** Read the newest picture soon, if the words are wanted. */
  refresh() {
    if (!this.#isWanted || this.#timer) return;
    this.#timer = setTimeout(() => this.#draw(), Math.max(0, this.#readAt + INTERVAL - performance.now()));
  }

  async #draw() {
    this.#timer = 0;
    this.#readAt = performance.now();
    const words = await this.#read();
    if (this.#isWanted) this.#overlay.replaceChildren(...words.map(boxNode));
  }

  /** @returns {Promise<ReadWord[]>} */
  async #read() {
    try {
      const response = await this.#fetch();
      return response.ok ? (await readJson(response)).words : [];
    } catch {
      return [];
    }
  }
}

/** @param {ReadWord} word */
function boxNode({ text, box, confidence }) {
  const { top, left, width, height } = placePointer(box);
  const node = create("div", { className: "word", title: text });
  node.dataset.testid = "word";
  node.toggleAttribute("data-unsure", confidence < SURE);
  Object.assign(node.style, { top: `${top}%`, left: `${left}%`, width: `${width}%`, height: `${height}%` });
  return node;
}
