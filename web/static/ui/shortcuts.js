/** Single keys for the controls; never while typing, and they can be switched off (WCAG 2.1.4). */

const KEY = "mediaserver.shortcuts";

/** Whether a key press belongs to a dialog, a field, or a combination of the browser's. */
export function isIgnored(event) {
  const { target } = event;
  if (document.querySelector("dialog:modal")) return true;
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.defaultPrevented) return true;
  return target instanceof Element && target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") !== null;
}

/** Run `actions[key]` on its key; `toggle` is the checkbox that switches all of them. */
export function bindShortcuts(actions, toggle) {
  toggle.checked = remembered();
  toggle.addEventListener("change", () => remember(toggle.checked));
  document.addEventListener("keydown", (event) => {
    const action = actions[event.key?.toLowerCase()];
    if (!action || !toggle.checked || isIgnored(event)) return;
    event.preventDefault();
    action();
  });
}

function remembered() {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true;
  }
}

function remember(on) {
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // Storage is switched off: the choice then lives as long as the page.
  }
}
