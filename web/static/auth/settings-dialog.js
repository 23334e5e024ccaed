// @ts-check
/** The dialog of a person's settings: voice, language, model, instructions and the pause that ends an utterance. */

import { uiElement } from "../dom.js";
import { toAppError } from "../errors.js";
import { makeDismissible } from "../ui/dialog.js";
import { Form } from "../ui/form.js";

/** @import { AppError } from "../errors.js" */
/** @import { Identity } from "./identity.js" */

const PATH = "/api/v1/users/me/settings";

/** The settings dialog. */
export class SettingsDialog {
  #dialog = uiElement(document, "settings-dialog", HTMLDialogElement);
  #formElement = uiElement(this.#dialog, "settings-form", HTMLFormElement);
  #fieldset = uiElement(this.#dialog, "settings-fields", HTMLFieldSetElement);
  #identity;
  #askToLogIn;
  #form;
  /** @type {Record<string, unknown>} */
  #settings = {}; // as the server sent them, with those this page has no field for

  /**
   * @param {Identity} identity
   * @param {(error: AppError) => boolean} askToLogIn true when the error means that one has to log in
   */
  constructor(identity, askToLogIn) {
    this.#identity = identity;
    this.#askToLogIn = askToLogIn;
    this.#form = new Form(this.#formElement, (values) => this.#save(values));
    makeDismissible(this.#dialog);
  }

  /** Show the saved settings. */
  async open() {
    this.#form.reset();
    this.#fieldset.disabled = true;
    this.#dialog.showModal();
    try {
      this.#fill(await this.#identity.call("GET", PATH));
      this.#fieldset.disabled = false;
      this.#form.field("voice").focus();
    } catch (thrown) {
      const error = toAppError(thrown);
      if (!this.#closeForLogin(error)) this.#form.showError(error);
    }
  }

  /** @param {Record<string, unknown>} settings */
  #fill(settings) {
    this.#settings = settings;
    for (const field of this.#form.fields) field.value = String(settings[field.name] ?? "");
  }

  /** @param {Record<string, string>} values */
  async #save(values) {
    try {
      this.#fill(await this.#identity.call("PUT", PATH, { ...this.#settings, ...settingsFrom(values) }));
    } catch (thrown) {
      const error = toAppError(thrown);
      if (!this.#closeForLogin(error)) throw error;
      return;
    }
    this.#form.showSuccess("Saved. Your next conversation begins with these.");
  }

  /** @param {AppError} error */
  #closeForLogin(error) {
    const isLoginNeeded = this.#askToLogIn(error);
    if (isLoginNeeded) this.#dialog.close();
    return isLoginNeeded;
  }
}

/**
 * The form's texts as the API's settings: an empty field is null, the server's choice.
 * @param {Record<string, string>} values
 */
export function settingsFrom(values) {
  const entries = Object.entries(values).map(([name, value]) => [name, value.trim() || null]);
  const settings = Object.fromEntries(entries);
  return { ...settings, silence_ms: settings.silence_ms === null ? null : Number(settings.silence_ms) };
}
