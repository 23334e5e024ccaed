/** What a person's conversations begin with: voice, language, model, instructions, patience. */

import { makeDismissible } from "../ui/dialog.js";
import { Form } from "../ui/form.js";

const PATH = "/api/v1/users/me/settings";

/** The dialog; `refused(error)` is called when one has to log in for it. */
export class SettingsDialog {
  #dialog;
  #identity;
  #refused;
  #form;
  #known = {}; // as the server told them, with those this page has no field for

  constructor(dialog, identity, refused) {
    this.#dialog = dialog;
    this.#identity = identity;
    this.#refused = refused;
    this.#form = new Form(dialog.querySelector("form"), (values) => this.#save(values));
    makeDismissible(dialog);
  }

  /** Show them as they are kept. */
  async open() {
    this.#form.reset();
    this.#dialog.querySelector("fieldset").disabled = true;
    this.#dialog.showModal();
    try {
      this.#fill(await this.#identity.call("GET", PATH));
      this.#dialog.querySelector("fieldset").disabled = false;
      this.#dialog.querySelector("[name=voice]").focus();
    } catch (error) {
      if (!this.#refused(error, this.#dialog)) this.#form.say(error);
    }
  }

  #fill(settings) {
    this.#known = settings;
    for (const input of this.#dialog.querySelectorAll("[name]")) input.value = settings[input.name] ?? "";
  }

  async #save(values) {
    try {
      this.#fill(await this.#identity.call("PUT", PATH, { ...this.#known, ...settingsFrom(values) }));
    } catch (error) {
      if (!this.#refused(error, this.#dialog)) throw error;
      return;
    }
    this.#form.tell("Saved. Your next conversation begins with these.");
  }
}

/** What the form's texts mean to the API: nothing entered is left to the server. */
export function settingsFrom(values) {
  const entries = Object.entries(values).map(([name, value]) => [name, value.trim() || null]);
  const settings = Object.fromEntries(entries);
  return { ...settings, silence_ms: settings.silence_ms === null ? null : Number(settings.silence_ms) };
}
