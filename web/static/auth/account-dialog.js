// @ts-check
/** The dialog of the logged-in account: its profile, its password, logging out and deletion. */

import { uiElement } from "../dom.js";
import { AppError } from "../errors.js";
import { makeDismissible } from "../ui/dialog.js";
import { Form } from "../ui/form.js";
import { formatDateTime } from "../ui/format.js";

/** @import { Identity } from "./identity.js" */
/** @import { User } from "./tokens.js" */

/** The account dialog. */
export class AccountDialog {
  #dialog = uiElement(document, "account-dialog", HTMLDialogElement);
  #identity;
  #onSignedOut;
  #passwordForm;
  #deletionForm;

  /**
   * @param {Identity} identity
   * @param {(flashMessage: string) => void} onSignedOut called once nobody is logged in any more
   */
  constructor(identity, onSignedOut) {
    this.#identity = identity;
    this.#onSignedOut = onSignedOut;
    this.#passwordForm = new Form(uiElement(this.#dialog, "password-form", HTMLFormElement), (values) => this.#changePassword(values));
    this.#deletionForm = new Form(uiElement(this.#dialog, "deletion-form", HTMLFormElement), (values) => this.#delete(values));
    makeDismissible(this.#dialog);
    uiElement(this.#dialog, "logout").addEventListener("click", () => this.#logout());
  }

  /** Show the profile known so far, then the one the server sends. */
  async open() {
    const { user } = this.#identity;
    if (!user) return;
    this.#passwordForm.reset();
    this.#deletionForm.reset();
    for (const details of this.#dialog.querySelectorAll("details")) details.open = false;
    this.#render(user);
    this.#dialog.showModal();
    try {
      this.#render(await this.#identity.call("GET", "/api/v1/users/me"));
    } catch {
      // The profile known since the login stays shown; the next action reports the error.
    }
  }

  /** @param {User} user */
  #render({ username, email, created_at }) {
    uiElement(this.#dialog, "account-title").textContent = username;
    uiElement(this.#dialog, "account-email").textContent = email ?? "";
    uiElement(this.#dialog, "account-since").textContent = created_at ? `Here since ${formatDateTime(created_at, { clock: false })}` : "";
    uiElement(this.#dialog, "account-username", HTMLInputElement).value = username;
  }

  /** @param {Record<string, string>} values */
  async #changePassword({ current_password, password }) {
    await this.#identity.changePassword({ current_password, password });
    this.#passwordForm.reset();
    this.#passwordForm.showSuccess("Your password is changed. Everywhere else you are logged out.");
  }

  /** @param {Record<string, string>} values */
  async #delete({ confirmation, current_password }) {
    const username = this.#identity.user?.username ?? "";
    if (confirmation.trim() !== username) {
      throw new AppError("INVALID_FIELDS", { fields: [{ field: "confirmation", sentence: `Type ${username} to delete it.` }] });
    }
    await this.#identity.deleteAccount(current_password);
    this.#dialog.close();
    this.#onSignedOut("Your account is deleted, and with it everything that was kept of you.");
  }

  #logout() {
    this.#identity.logout();
    this.#dialog.close();
    this.#onSignedOut("You are logged out.");
  }
}
