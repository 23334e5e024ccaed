// @ts-check
/** The running transcript of both sides, turn by turn. */

import { create } from "../dom.js";

/** @import { Interrupted, TranscriptText } from "../net/server-events.js" */

/** @typedef {"user" | "assistant"} Role */
/** @typedef {[conversation: number, turn: number, place: number]} Order */

/**
 * @typedef {object} Entry
 * @property {Order} order
 * @property {HTMLElement} node
 * @property {number} turn
 * @property {Role | null} role null for a note of the page itself
 * @property {string} text
 * @property {boolean} isFinal
 * @property {boolean} isInterrupted
 * @property {number | null} latency ms
 * @property {number | null} confidence 0 to 1, of words that were heard
 */

const SPEAKERS = { user: "You", assistant: "Assistant" };
const PLACES = { user: 0, assistant: 1, note: 2 }; // within a turn

/**
 * The log element's entries. Text that still grows is hidden from assistive technology; when it is final its entry is
 * inserted anew, so that a live region announces each text once and whole.
 */
export class Transcript {
  #log;
  /** @type {Entry[]} */
  #entries = []; // in the order shown
  #conversation = 0;
  #latestTurn = 0;

  /** @param {HTMLElement} log */
  constructor(log) {
    this.#log = log;
  }

  /** True until the first text. */
  get isEmpty() {
    return this.#entries.length === 0;
  }

  /** True once the assistant has said something in this conversation. */
  get hasAnswer() {
    return this.#entries.some(({ role, order, text }) => role === "assistant" && order[0] === this.#conversation && text !== "");
  }

  /** Count turns from the start again; earlier entries stay. */
  startConversation() {
    this.#conversation += 1;
    this.#latestTurn = 0;
  }

  /**
   * Set the whole text of a role in a turn.
   * @param {Omit<TranscriptText, "action">} transcript
   */
  setText({ turn, role, text, final, confidence = null }) {
    const entry = this.#entryFor(turn, role);
    // Later text of an interrupted turn was never audible.
    if (entry.isInterrupted || (entry.isFinal && !final)) return;
    entry.text = text;
    entry.isFinal = final;
    entry.confidence = confidence ?? entry.confidence;
    this.#render(entry, final);
  }

  /**
   * Cut the assistant's text of a turn down to the part that was heard before the interruption.
   * @param {Omit<Interrupted, "action">} interruption
   */
  setInterrupted({ turn, heard_text: heard }) {
    const entry = this.#entryFor(turn, "assistant");
    entry.text = heard;
    entry.isFinal = true;
    entry.isInterrupted = true;
    this.#render(entry, true);
  }

  /**
   * Let the assistant's text of a turn grow again: what interrupted it was nothing.
   * @param {number} turn
   */
  setResumed(turn) {
    const entry = this.#entryFor(turn, "assistant");
    entry.isFinal = false;
    entry.isInterrupted = false;
    this.#render(entry, false);
  }

  /**
   * Show the time from the end of the question to the first audio of the answer.
   * @param {number} turn
   * @param {number} milliseconds
   */
  setLatency(turn, milliseconds) {
    const entry = this.#entryFor(turn, "assistant");
    entry.latency = milliseconds;
    this.#render(entry, false);
  }

  /**
   * Mark growing texts as final, those of one turn or all.
   * @param {number | null} [turn]
   */
  finalize(turn = null) {
    for (const entry of this.#entries.filter((one) => !one.isFinal && (turn === null || one.turn === turn))) {
      entry.isFinal = true;
      this.#render(entry, true);
    }
  }

  /**
   * Add a note of the page itself after the latest turn.
   * @param {string} text
   */
  addNote(text) {
    this.#insert({ ...newEntry([this.#conversation, this.#latestTurn, PLACES.note], null), text, isFinal: true });
  }

  /**
   * @param {number} turn
   * @param {Role} role
   */
  #entryFor(turn, role) {
    this.#latestTurn = Math.max(this.#latestTurn, turn);
    /** @type {Order} */
    const order = [this.#conversation, turn, PLACES[role]];
    return this.#entries.find((entry) => entry.role && compare(entry.order, order) === 0) ?? this.#insert(newEntry(order, role));
  }

  /** @param {Entry} entry */
  #insert(entry) {
    const next = this.#entries.findIndex((other) => compare(other.order, entry.order) > 0);
    const index = next < 0 ? this.#entries.length : next;
    if (this.isEmpty) this.#log.replaceChildren();
    entry.node = entryNode(entry);
    this.#log.insertBefore(entry.node, this.#entries[index]?.node ?? null);
    this.#entries.splice(index, 0, entry);
    this.#scrollToEnd();
    return entry;
  }

  /**
   * @param {Entry} entry
   * @param {boolean} isAnnounced
   */
  #render(entry, isAnnounced) {
    const node = entryNode(entry);
    if (isAnnounced) {
      entry.node.replaceWith(node);
      entry.node = node;
    } else {
      entry.node.replaceChildren(...node.childNodes);
    }
    this.#scrollToEnd();
  }

  #scrollToEnd() {
    const distance = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight;
    // Someone who scrolled up to read is left there.
    if (distance < 160) this.#log.scrollTop = this.#log.scrollHeight;
  }
}

/**
 * "answered in 0.41 s".
 * @param {number} milliseconds
 */
export function formatLatency(milliseconds) {
  return `answered in ${(milliseconds / 1000).toFixed(2)} s`;
}

/**
 * "heard with 87 % confidence".
 * @param {number} confidence 0 to 1
 */
export function formatConfidence(confidence) {
  return `heard with ${Math.round(Math.min(1, Math.max(0, confidence)) * 100)} % confidence`;
}

/**
 * @param {Order} order
 * @param {Role | null} role
 * @returns {Entry}
 */
function newEntry(order, role) {
  const node = create("div");
  return { order, node, turn: order[1], role, text: "", isFinal: false, isInterrupted: false, latency: null, confidence: null };
}

/**
 * @param {Order} one
 * @param {Order} other
 */
function compare(one, other) {
  const differing = one.findIndex((part, index) => part !== other[index]);
  return differing < 0 ? 0 : one[differing] - other[differing];
}

/** @param {Entry} entry */
function entryNode(entry) {
  if (!entry.role) return create("div", { className: "note" }, entry.text);
  const node = create("div", { className: "entry" }, create("p", { className: "who" }, SPEAKERS[entry.role]), textNode(entry));
  Object.assign(node.dataset, { role: entry.role, turn: entry.turn, final: entry.isFinal });
  node.toggleAttribute("data-interrupted", entry.isInterrupted);
  if (!entry.isFinal) node.ariaHidden = "true";
  if (entry.confidence !== null) node.append(confidenceNode(entry.confidence));
  if (entry.latency !== null) node.append(latencyNode(entry.latency));
  return node;
}

/** @param {Entry} entry */
function textNode({ text, isFinal, isInterrupted }) {
  const node = create("p", { className: "said" }, text);
  if (!isFinal) node.append(create("span", { className: "growing" }));
  if (isInterrupted) {
    const mark = text ? "interrupted here" : "interrupted before anything was heard";
    node.append(text ? " – " : "", create("em", { className: "cut" }, mark));
  }
  return node;
}

/** @param {number} confidence */
function confidenceNode(confidence) {
  const text = create("span", {}, formatConfidence(confidence));
  text.dataset.testid = "confidence";
  return create("p", { className: "meta", ariaLive: "off" }, text);
}

/** @param {number} milliseconds */
function latencyNode(milliseconds) {
  const latency = create("span", {}, formatLatency(milliseconds));
  latency.dataset.testid = "latency";
  return create("p", { className: "meta", ariaLive: "off" }, latency);
}
