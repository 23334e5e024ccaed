// @ts-check
/** Push to talk: the microphone is heard only while Space is held; remembered in this browser. */

const KEY = "mediaserver.push-to-talk";

/**
 * @typedef {object} PushToTalkOptions
 * @property {HTMLInputElement} toggle the checkbox that switches it
 * @property {() => boolean} isTalking true during a conversation, when Space is taken
 * @property {(isOn: boolean) => void} onMode called at once, and whenever it is switched
 * @property {(isHeld: boolean) => void} onHold
 */

/**
 * Follow the checkbox and the space bar. Space also presses a focused button otherwise; Enter still does.
 * @param {PushToTalkOptions} options
 */
export function bindPushToTalk({ toggle, isTalking, onMode, onHold }) {
  let isHeld = false;
  /** @param {boolean} held */
  const hold = (held) => {
    if (held === isHeld) return;
    isHeld = held;
    onHold(held);
  };
  toggle.checked = isRemembered();
  toggle.addEventListener("change", () => {
    remember(toggle.checked);
    hold(false);
    onMode(toggle.checked);
  });
  document.addEventListener("keydown", (event) => {
    if (event.code !== "Space" || !toggle.checked || !isTalking() || isIgnored(event)) return;
    event.preventDefault();
    hold(true);
  });
  document.addEventListener("keyup", (event) => {
    if (event.code !== "Space" || !isHeld) return;
    event.preventDefault(); // a focused button is pressed by this event
    hold(false);
  });
  // The key may be released where this page does not see it.
  window.addEventListener("blur", () => hold(false));
  onMode(toggle.checked);
}

/**
 * True where Space has another meaning.
 * @param {KeyboardEvent} event
 */
function isIgnored(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog:modal")) return true;
  const target = /** @type {Element | null} */ (event.target);
  return Boolean(target?.closest?.("input, textarea, select, summary, [contenteditable]"));
}

function isRemembered() {
  try {
    return localStorage.getItem(KEY) === "on";
  } catch {
    return false;
  }
}

/** @param {boolean} on */
function remember(on) {
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // Storage is switched off: the choice then lives as long as the page.
  }
}
