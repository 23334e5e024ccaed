// @ts-check
/** Single-key shortcuts for the controls; off while typing, and they can be switched off (WCAG 2.1.4). */

const KEY = "mediaserver.shortcuts";

/**
 * Run `actions[key]` on its key; `toggle` is the checkbox that switches all of them.
 * @param {Record<string, () => void>} actions
 * @param {HTMLInputElement} toggle
 */
export function bindShortcuts(actions, toggle) {
  toggle.checked = isOn();
  toggle.addEventListener("change", () => save(toggle.checked));
  document.addEventListener("keydown", (event) => {
    const action = actions[event.key?.toLowerCase()];
    if (!action || !toggle.checked || isIgnored(event)) return;
    event.preventDefault();
    action();
  });
}

/**
 * True for key presses that belong to a dialog, to a field, or to a key combination of the browser.
 * @param {KeyboardEvent} event
 */
function isIgnored(event) {
  const { target } = event;
  if (document.querySelector("dialog:modal")) return true;
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.defaultPrevented) return true;
  return target instanceof Element && target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") !== null;
}

function isOn() {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true;
  }
}

/** @param {boolean} on */
function save(on) {
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // Storage is switched off: the choice then lives as long as the page.
  }
}
