/** What all dialogs of the page share; opening, keeping the focus and giving it back are the browser's own. */

/** Let the buttons marked data-close, and a press beside it, close a dialog. */
export function makeDismissible(dialog) {
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
  let isOutside = false;
  dialog.addEventListener("pointerdown", (event) => {
    isOutside = event.target === dialog && isBeside(dialog, event);
  });
  // Only a press that began there: text that is marked with the mouse may end outside.
  dialog.addEventListener("click", (event) => {
    if (isOutside && event.target === dialog && isBeside(dialog, event)) dialog.close();
  });
}

/** Ask before something is done that cannot be undone; true when it is wanted. */
export function confirmAction({ title, text, label }) {
  // A new one each time: the answer to one question can then never be taken for that to the next.
  const dialog = document.querySelector("#confirm").content.firstElementChild.cloneNode(true);
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("p").textContent = text;
  dialog.querySelector("button").textContent = label;
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

function isBeside(dialog, { clientX, clientY }) {
  const { left, right, top, bottom } = dialog.getBoundingClientRect();
  return clientX < left || clientX > right || clientY < top || clientY > bottom;
}
