/** Notices to the person: one sentence, what to do, and a button where one helps. */

import { sentenceFor } from "../errors.js";

/** The alert region; each code is shown at most once, the newest first. */
export class Notices {
  #region;
  #shown = new Map(); // code -> { node, timer, lasting }

  constructor(region) {
    this.#region = region;
  }

  /**
   * Say an error. `action` is `{ label, run }`; `seconds` counts down beside it; `fatal` cannot be dismissed;
   * `lasting` stays when answers come again.
   */
  say(error, { action = null, fatal = false, lasting = true } = {}) {
    this.drop(error.code);
    const { what, todo } = sentenceFor(error.code, error.said);
    const node = element("div", "notice");
    node.dataset.code = error.code;
    const text = element("p", "notice-text");
    text.append(element("strong", "", what), " ", todo);
    const actions = element("div", "notice-actions");
    const timer = error.seconds ? appendCountdown(actions, error.seconds) : 0;
    if (action) actions.append(button(action.label, () => this.#act(error.code, action)));
    if (!fatal) actions.append(button("Dismiss", () => this.drop(error.code), "quiet"));
    node.append(text, actions);
    this.#region.prepend(node);
    node.scrollIntoView({ block: "nearest" });
    this.#shown.set(error.code, { node, timer, lasting });
  }

  /** Say good news, until dismissed or until the next conversation. */
  tell(text) {
    this.drop("NEWS");
    const node = element("div", "notice news");
    const actions = element("div", "notice-actions");
    actions.append(button("Dismiss", () => this.drop("NEWS"), "quiet"));
    node.append(element("p", "notice-text", text), actions);
    this.#region.prepend(node);
    this.#shown.set("NEWS", { node, timer: 0, lasting: true });
  }

  /** Take a notice away. */
  drop(code) {
    const notice = this.#shown.get(code);
    if (!notice) return;
    clearInterval(notice.timer);
    notice.node.remove();
    this.#shown.delete(code);
  }

  /** An answer came: what was said about a lost one is over. */
  dropPassing() {
    for (const [code, notice] of [...this.#shown]) if (!notice.lasting) this.drop(code);
  }

  /** Take all notices away. */
  clear() {
    for (const code of [...this.#shown.keys()]) this.drop(code);
  }

  #act(code, action) {
    this.drop(code);
    action.run();
  }
}

/** An error where there is no room for a notice: in words and, if the server says so, with when to try again. */
export function showErrorIn(node, error) {
  const { what, todo } = sentenceFor(error.code, error.said);
  node.textContent = error.seconds ? what : `${what} ${todo}`;
  if (!error.seconds) return;
  // Said once to those who hear it, while the ticking digits beside it are for the eyes.
  node.append(element("span", "sr", ` Try again in ${error.seconds} s.`), " ");
  appendCountdown(node, error.seconds);
  node.lastChild.ariaHidden = "true";
}

/** Append how long it is until another try makes sense; returns the timer. */
export function appendCountdown(parent, seconds) {
  // Ticking digits inside an alert must not be read aloud every second.
  const left = element("span", "countdown");
  left.ariaLive = "off";
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

function button(label, run, className = "") {
  const node = element("button", className, label);
  node.type = "button";
  node.addEventListener("click", run);
  return node;
}

function element(name, className, text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}
