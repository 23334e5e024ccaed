/** Forms: checked before they are sent, sent once at a time, and clear about what is wrong with which field. */

import { sentenceForField } from "../errors.js";
import { showErrorIn } from "./notices.js";

/** One form; `send(values)` is awaited when all fields are as their attributes ask, and may raise `AppError`. */
export class Form {
  #form;
  #send;
  #outcome;
  #isBusy = false;

  constructor(form, send) {
    this.#form = form;
    this.#send = send;
    this.#outcome = form.querySelector(".outcome");
    for (const input of this.#inputs) describe(input);
    for (const button of form.querySelectorAll(".reveal")) button.addEventListener("click", () => reveal(button));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    form.addEventListener("input", (event) => clear(event.target));
  }

  /** Empty it, of faults too. */
  reset() {
    this.#form.reset();
    this.tidy();
  }

  /** Take away what was said of the last try; passwords are hidden again. */
  tidy() {
    this.#outcome.replaceChildren();
    for (const input of this.#inputs) clear(input);
    for (const button of this.#form.querySelectorAll('.reveal[aria-pressed="true"]')) reveal(button);
  }

  /** Say that it went well, or what this form is for. */
  tell(text) {
    this.#say(text, "done");
  }

  /** Say what is in the way. */
  say(error) {
    const faults = error.fields.filter(({ field }) => this.#form.elements[field]);
    for (const { field, sentence } of faults) blame(this.#form.elements[field], sentence);
    if (faults.length > 0) return this.#focusFault();
    this.#outcome.dataset.kind = "failed";
    showErrorIn(this.#outcome, error);
  }

  get #inputs() {
    return [...this.#form.elements].filter((one) => one.name);
  }

  async #submit() {
    if (this.#isBusy) return;
    this.tidy();
    const wrong = this.#inputs.filter((input) => !input.validity.valid);
    for (const input of wrong) blame(input, input.validity.valueMissing ? "Please fill this in." : sentenceForField(input.name));
    if (wrong.length > 0) return this.#focusFault();
    this.#setBusy(true);
    try {
      await this.#send(Object.fromEntries(new FormData(this.#form)));
    } catch (error) {
      this.say(error);
    } finally {
      this.#setBusy(false);
    }
  }

  #focusFault() {
    const wrong = this.#form.querySelectorAll('[aria-invalid="true"]');
    this.#say(wrong.length === 1 ? "One field needs another look." : `${wrong.length} fields need another look.`, "failed");
    wrong[0].focus();
  }

  #say(text, kind) {
    this.#outcome.dataset.kind = kind;
    this.#outcome.textContent = text;
  }

  #setBusy(isBusy) {
    this.#isBusy = isBusy;
    this.#form.ariaBusy = String(isBusy);
    // Not `disabled`: that would take the focus away.
    for (const button of this.#form.querySelectorAll('[type="submit"]')) button.ariaDisabled = String(isBusy);
  }
}

function describe(input) {
  const fault = Object.assign(document.createElement("p"), { className: "fault", id: `${input.id}-fault` });
  input.closest(".field")?.append(fault);
  input.setAttribute("aria-describedby", [input.getAttribute("aria-describedby"), fault.id].filter(Boolean).join(" "));
}

function blame(input, sentence) {
  input.ariaInvalid = "true";
  faultOf(input).textContent = sentence;
}

function clear(input) {
  if (input.ariaInvalid !== "true") return;
  input.ariaInvalid = null;
  faultOf(input).textContent = "";
}

function faultOf(input) {
  return document.getElementById(`${input.id}-fault`);
}

function reveal(button) {
  const input = button.closest(".field").querySelector("input");
  const isShown = input.type === "password";
  input.type = isShown ? "text" : "password";
  button.ariaPressed = String(isShown);
}
