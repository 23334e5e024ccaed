// @ts-check
/** Forms: checked before they are sent, sent once at a time, with each error shown at its field. */

import { create, uiAncestor, uiElement, uiElements } from "../dom.js";
import { sentenceForField, toAppError } from "../errors.js";
import { showErrorIn } from "./notices.js";

/** @import { AppError } from "../errors.js" */

/** @typedef {HTMLInputElement | HTMLTextAreaElement} Field */

/** One form, which sends its values when all fields satisfy their attributes. */
export class Form {
  #form;
  #send;
  #outcome;
  #isBusy = false;

  /**
   * @param {HTMLFormElement} form
   * @param {(values: Record<string, string>) => Promise<void>} send awaited; may raise `AppError`
   */
  constructor(form, send) {
    this.#form = form;
    this.#send = send;
    this.#outcome = uiElement(form, "outcome");
    for (const field of this.fields) addErrorLine(field);
    for (const button of uiElements(form, "reveal")) button.addEventListener("click", () => togglePassword(button));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    form.addEventListener("input", ({ target }) => {
      if (isField(target)) clearError(target);
    });
  }

  /** The named fields, in document order. */
  get fields() {
    return [...this.#form.elements].filter(isField);
  }

  /**
   * The input of a name.
   * @param {string} name
   */
  field(name) {
    const input = this.#form.elements.namedItem(name);
    if (input instanceof HTMLInputElement) return input;
    throw new Error(`The form has no input named ${name}.`);
  }

  /** Empty the form and clear its errors. */
  reset() {
    this.#form.reset();
    this.clearErrors();
  }

  /** Clear the outcome of the last try; passwords are hidden again. */
  clearErrors() {
    this.#outcome.replaceChildren();
    for (const field of this.fields) clearError(field);
    for (const button of uiElements(this.#form, "reveal")) if (button.ariaPressed === "true") togglePassword(button);
  }

  /**
   * Show that sending succeeded.
   * @param {string} text
   */
  showSuccess(text) {
    this.#showOutcome(text, "done");
  }

  /**
   * Show an error at the fields it is about, or else for the whole form.
   * @param {AppError} error
   */
  showError(error) {
    let isAboutField = false;
    for (const { field: name, sentence } of error.fields) {
      const field = this.#form.elements.namedItem(name);
      if (!isField(field)) continue;
      markInvalid(field, sentence);
      isAboutField = true;
    }
    if (isAboutField) return this.#focusInvalid();
    this.#outcome.dataset.kind = "failed";
    showErrorIn(this.#outcome, error);
  }

  async #submit() {
    if (this.#isBusy) return;
    this.clearErrors();
    const invalid = this.fields.filter((field) => !field.validity.valid);
    for (const field of invalid) markInvalid(field, field.validity.valueMissing ? "Please fill this in." : sentenceForField(field.name));
    if (invalid.length > 0) return this.#focusInvalid();
    this.#setBusy(true);
    try {
      await this.#send(textsOf(this.#form));
    } catch (error) {
      this.showError(toAppError(error));
    } finally {
      this.#setBusy(false);
    }
  }

  #focusInvalid() {
    const invalid = this.fields.filter((field) => field.ariaInvalid === "true");
    this.#showOutcome(invalid.length === 1 ? "One field needs another look." : `${invalid.length} fields need another look.`, "failed");
    invalid[0].focus();
  }

  /**
   * @param {string} text
   * @param {"done" | "failed"} kind
   */
  #showOutcome(text, kind) {
    this.#outcome.dataset.kind = kind;
    this.#outcome.textContent = text;
  }

  /** @param {boolean} isBusy */
  #setBusy(isBusy) {
    this.#isBusy = isBusy;
    this.#form.ariaBusy = String(isBusy);
    for (const button of this.#form.elements) {
      // Not `disabled`: that would take the focus away.
      if (button instanceof HTMLButtonElement && button.type === "submit") button.ariaDisabled = String(isBusy);
    }
  }
}

/**
 * @param {HTMLFormElement} form
 * @returns {Record<string, string>}
 */
function textsOf(form) {
  return Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]));
}

/**
 * @param {unknown} element
 * @returns {element is Field}
 */
function isField(element) {
  return (element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement) && element.name !== "";
}

/** @param {Field} field */
function addErrorLine(field) {
  const line = create("p", { className: "fault", id: errorLineId(field) });
  uiAncestor(field, "field")?.append(line);
  field.setAttribute("aria-describedby", [field.getAttribute("aria-describedby"), line.id].filter(Boolean).join(" "));
}

/**
 * @param {Field} field
 * @param {string} sentence
 */
function markInvalid(field, sentence) {
  field.ariaInvalid = "true";
  setErrorLine(field, sentence);
}

/** @param {Field} field */
function clearError(field) {
  if (field.ariaInvalid !== "true") return;
  field.ariaInvalid = null;
  setErrorLine(field, "");
}

/**
 * @param {Field} field
 * @param {string} text
 */
function setErrorLine(field, text) {
  const line = document.getElementById(errorLineId(field));
  if (line) line.textContent = text;
}

/** @param {Field} field */
function errorLineId(field) {
  return `${field.id}-fault`;
}

/** @param {HTMLElement} button */
function togglePassword(button) {
  const input = document.getElementById(button.getAttribute("aria-controls") ?? "");
  if (!(input instanceof HTMLInputElement)) return;
  const isShown = input.type === "password";
  input.type = isShown ? "text" : "password";
  button.ariaPressed = String(isShown);
}
