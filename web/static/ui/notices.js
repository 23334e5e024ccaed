// @ts-check
/** Notices to the person: one sentence, a remedy, and a button where one helps. */

import { create } from "../dom.js";
import { sentenceFor, textFor } from "../errors.js";

/** @import { AppError } from "../errors.js" */

/** @typedef {{ label: string, run: () => void }} Action */

/**
 * @typedef {object} NoticeOptions
 * @property {Action | null} [action] a button beside the text
 * @property {boolean} [isFatal] the notice cannot be dismissed
 * @property {boolean} [isTransient] the notice goes when an answer comes
 */

const MESSAGE = "MESSAGE"; // stands in for an error code

/** The alert region; each code is shown at most once, the newest first. */
export class Notices {
  #region;
  /** @type {Map<string, { node: HTMLElement, timer: number, isTransient: boolean }>} */
  #shown = new Map(); // by code

  /** @param {HTMLElement} region */
  constructor(region) {
    this.#region = region;
  }

  /**
   * Show an error, with a countdown where the server asks to wait.
   * @param {AppError} error
   * @param {NoticeOptions} [options]
   */
  showError(error, { action = null, isFatal = false, isTransient = false } = {}) {
    const { code, serverMessage, retryAfter } = error;
    this.remove(code);
    const { problem, remedy } = sentenceFor(code, serverMessage);
    const text = create("p", { className: "notice-text" }, create("strong", {}, problem), " ", remedy);
    const actions = create("div", { className: "notice-actions" });
    const timer = retryAfter ? appendCountdown(actions, retryAfter) : 0;
    if (action) actions.append(button(action.label, () => this.#run(code, action)));
    if (!isFatal) actions.append(button("Dismiss", () => this.remove(code), "quiet"));
    const node = create("div", { className: "notice" }, text, actions);
    node.dataset.code = code;
    this.#region.prepend(node);
    node.scrollIntoView({ block: "nearest" });
    this.#shown.set(code, { node, timer, isTransient });
  }

  /**
   * Show a message that is no error, until dismissed or until the next conversation.
   * @param {string} text
   */
  showMessage(text) {
    this.removeMessage();
    const actions = create("div", { className: "notice-actions" }, button("Dismiss", () => this.removeMessage(), "quiet"));
    const node = create("div", { className: "notice news" }, create("p", { className: "notice-text" }, text), actions);
    this.#region.prepend(node);
    this.#shown.set(MESSAGE, { node, timer: 0, isTransient: false });
  }

  /** Remove the message that is no error. */
  removeMessage() {
    this.remove(MESSAGE);
  }

  /**
   * Remove the notice of a code.
   * @param {string} code
   */
  remove(code) {
    const notice = this.#shown.get(code);
    if (!notice) return;
    clearInterval(notice.timer);
    notice.node.remove();
    this.#shown.delete(code);
  }

  /** Remove the notices of lost answers, because an answer came. */
  removeTransient() {
    for (const [code, { isTransient }] of [...this.#shown]) if (isTransient) this.remove(code);
  }

  /** Remove all notices. */
  clear() {
    for (const code of [...this.#shown.keys()]) this.remove(code);
  }

  /**
   * @param {string} code
   * @param {Action} action
   */
  #run(code, action) {
    this.remove(code);
    action.run();
  }
}

/**
 * Show an error inside an element, for places without room for a notice.
 * @param {HTMLElement} node
 * @param {AppError} error
 */
export function showErrorIn(node, error) {
  const { retryAfter } = error;
  if (!retryAfter) {
    node.textContent = textFor(error);
    return;
  }
  // Screen readers get the number once; the ticking digits beside it are for the eyes.
  const spoken = create("span", { className: "sr" }, ` Try again in ${retryAfter} s.`);
  node.replaceChildren(sentenceFor(error.code, error.serverMessage).problem, spoken, " ");
  appendCountdown(node, retryAfter);
  if (node.lastElementChild) node.lastElementChild.ariaHidden = "true";
}

/**
 * Append the seconds until another try makes sense; returns the interval's id.
 * @param {HTMLElement} parent
 * @param {number} seconds
 */
export function appendCountdown(parent, seconds) {
  // Ticking digits inside an alert must not be read aloud every second.
  const left = create("span", { className: "countdown", ariaLive: "off" });
  left.dataset.testid = "countdown";
  parent.append(left);
  const until = performance.now() + seconds * 1000;
  let timer = 0;
  const tick = () => {
    const rest = Math.ceil((until - performance.now()) / 1000);
    left.textContent = rest > 0 ? `try again in ${rest} s` : "it may work now";
    if (rest <= 0 || (timer && !left.isConnected)) clearInterval(timer);
  };
  tick();
  timer = setInterval(tick, 500);
  return timer;
}

/**
 * @param {string} label
 * @param {() => void} run
 * @param {string} [className]
 */
function button(label, run, className = "") {
  const node = create("button", { type: "button", className }, label);
  node.addEventListener("click", run);
  return node;
}
