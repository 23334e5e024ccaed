// @ts-check
/** Shared behaviour of the page's dialogs; the browser itself opens them and moves the focus. */

import { uiElement } from "../dom.js";

/**
 * Close a dialog by its buttons marked data-close, and by a press beside it.
 * @param {HTMLDialogElement} dialog
 */
export function makeDismissible(dialog) {
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
  let beganOutside = false;
  dialog.addEventListener("pointerdown", (event) => {
    beganOutside = event.target === dialog && isOutside(dialog, event);
  });
  // Only a press that began there: selecting text with the mouse may end outside.
  dialog.addEventListener("click", (event) => {
    if (beganOutside && event.target === dialog && isOutside(dialog, event)) dialog.close();
  });
}

/**
 * Ask before an action that cannot be undone; resolves to true when it is confirmed.
 * @param {{ title: string, text: string, label: string }} question
 * @returns {Promise<boolean>}
 */
export function confirmAction({ title, text, label }) {
  // A new dialog each time: the answer to one question can then never be taken for that to the next.
  const template = uiElement(document, "confirm-template", HTMLTemplateElement);
  const dialog = uiElement(document.importNode(template.content, true), "confirm-dialog", HTMLDialogElement);
  uiElement(dialog, "confirm-title").textContent = title;
  uiElement(dialog, "confirm-text").textContent = text;
  uiElement(dialog, "confirm").textContent = label;
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {MouseEvent} event
 */
function isOutside(dialog, { clientX, clientY }) {
  const { left, right, top, bottom } = dialog.getBoundingClientRect();
  return clientX < left || clientX > right || clientY < top || clientY > bottom;
}
