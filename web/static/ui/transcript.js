/** What both sides said, turn by turn. */

const SPEAKERS = { user: "You", assistant: "Assistant" };

/**
 * A running log. Text that still grows is hidden from assistive technology; when it is final its entry is put in
 * anew, so that a live region announces each text once and whole.
 */
export class Transcript {
  #log;
  #entries = []; // in the order shown
  #conversation = 0;
  #latest = 0;

  constructor(log) {
    this.#log = log;
  }

  /** Whether anything was said yet. */
  get isEmpty() {
    return this.#entries.length === 0;
  }

  /** Turn numbers start again from here on; what was said stays. */
  newConversation() {
    this.#conversation += 1;
    this.#latest = 0;
  }

  /** All that a role has said in a turn so far. */
  said({ turn, role, text, final }) {
    const entry = this.#entryFor(turn, role);
    // What was cut stays cut: later text of that turn was never heard.
    if (entry.cut || (entry.final && !final)) return;
    entry.text = text;
    entry.final = final;
    this.#show(entry, final);
  }

  /** The assistant was interrupted: only this much of the turn was heard. */
  cut({ turn, heard_text: heard }) {
    const entry = this.#entryFor(turn, "assistant");
    entry.text = heard;
    entry.final = true;
    entry.cut = true;
    this.#show(entry, true);
  }

  /** How long the person waited for the first sound of a turn's answer, in milliseconds. */
  timed(turn, milliseconds) {
    const entry = this.#entryFor(turn, "assistant");
    entry.latency = milliseconds;
    this.#show(entry, false);
  }

  /** Nothing more follows in this turn, or in any: what still seemed to grow is final. */
  settle(turn = null) {
    for (const entry of this.#entries.filter((one) => !one.final && (turn === null || one.turn === turn))) {
      entry.final = true;
      this.#show(entry, true);
    }
  }

  /** A remark of the page itself between the entries. */
  note(text) {
    this.#insert({ order: [this.#conversation, this.#latest, 2], text, final: true, note: true });
  }

  #entryFor(turn, role) {
    this.#latest = Math.max(this.#latest, turn);
    const order = [this.#conversation, turn, role === "user" ? 0 : 1];
    return this.#entries.find((entry) => !entry.note && compare(entry.order, order) === 0) ?? this.#insert({ order, turn, role, text: "", final: false });
  }

  #insert(entry) {
    const next = this.#entries.findIndex((other) => compare(other.order, entry.order) > 0);
    const index = next < 0 ? this.#entries.length : next;
    if (this.isEmpty) this.#log.replaceChildren();
    entry.node = render(entry);
    this.#log.insertBefore(entry.node, this.#entries[index]?.node ?? null);
    this.#entries.splice(index, 0, entry);
    this.#follow();
    return entry;
  }

  #show(entry, anew) {
    const node = render(entry);
    if (anew) entry.node.replaceWith(node);
    else entry.node.replaceChildren(...node.childNodes);
    if (anew) entry.node = node;
    this.#follow();
  }

  #follow() {
    const distance = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight;
    // Someone who scrolled up to read is left where they are.
    if (distance < 160) this.#log.scrollTop = this.#log.scrollHeight;
  }
}

/** A latency in words: "answered in 0.41 s". */
export function formatLatency(milliseconds) {
  return `answered in ${(milliseconds / 1000).toFixed(2)} s`;
}

function compare(one, other) {
  const differing = one.findIndex((part, index) => part !== other[index]);
  return differing < 0 ? 0 : one[differing] - other[differing];
}

function render(entry) {
  const node = element("div", { className: entry.note ? "note" : "entry" });
  if (entry.note) {
    node.textContent = entry.text;
    return node;
  }
  Object.assign(node.dataset, { role: entry.role, turn: entry.turn, final: entry.final });
  if (entry.cut) node.dataset.interrupted = "";
  if (!entry.final) node.ariaHidden = "true";
  node.append(element("p", { className: "who", textContent: SPEAKERS[entry.role] }), words(entry));
  if (entry.latency !== undefined) node.append(timing(entry.latency));
  return node;
}

function words(entry) {
  const said = element("p", { className: "said", textContent: entry.text });
  if (!entry.final) said.append(element("span", { className: "growing" }));
  if (entry.cut) {
    const mark = entry.text ? "interrupted here" : "interrupted before anything was heard";
    said.append(entry.text ? " – " : "", element("em", { className: "cut", textContent: mark }));
  }
  return said;
}

function timing(milliseconds) {
  const meta = element("p", { className: "meta", ariaLive: "off" });
  const latency = element("span", { textContent: formatLatency(milliseconds) });
  latency.dataset.testid = "latency";
  meta.append(latency);
  return meta;
}

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}
