/** Who is logged in: their account, its password, and its end. */

import { makeDismissible } from "../ui/dialog.js";
import { AppError } from "../errors.js";
import { Form } from "../ui/form.js";
import { formatDateTime } from "../ui/format.js";

/** The dialog; `left(news)` is called once nobody is logged in any more. */
export class AccountDialog {
  #dialog;
  #identity;
  #left;
  #password;
  #deletion;

  constructor(dialog, identity, left) {
    this.#dialog = dialog;
    this.#identity = identity;
    this.#left = left;
    this.#password = new Form(dialog.querySelector(".password"), (values) => this.#changePassword(values));
    this.#deletion = new Form(dialog.querySelector(".deletion"), (values) => this.#delete(values));
    makeDismissible(dialog);
    dialog.querySelector(".logout").addEventListener("click", () => this.#logout());
  }

  /** Show it; the newest profile follows when the server has told it. */
  async open() {
    this.#password.reset();
    this.#deletion.reset();
    for (const details of this.#dialog.querySelectorAll("details")) details.open = false;
    this.#show(this.#identity.user);
    this.#dialog.showModal();
    try {
      this.#show(await this.#identity.call("GET", "/api/v1/users/me"));
    } catch {
      // What is known since the login stays shown; whatever is done next says what is wrong.
    }
  }

  #show({ username, email, created_at }) {
    this.#dialog.querySelector("h2").textContent = username;
    this.#dialog.querySelector(".email").textContent = email ?? "";
    this.#dialog.querySelector(".since").textContent = created_at ? `Here since ${formatDateTime(created_at, { clock: false })}` : "";
    for (const input of this.#dialog.querySelectorAll(".whose")) input.value = username;
  }

  async #changePassword(values) {
    await this.#identity.changePassword(values);
    this.#password.reset();
    this.#password.tell("Your password is changed. Everywhere else you are logged out.");
  }

  async #delete({ confirmation }) {
    const { username } = this.#identity.user;
    if (confirmation.trim() !== username) {
      throw new AppError("INVALID_FIELDS", { fields: [{ field: "confirmation", sentence: `Type ${username} to delete it.` }] });
    }
    await this.#identity.deleteAccount();
    this.#dialog.close();
    this.#left("Your account is deleted, and with it everything that was kept of you.");
  }

  #logout() {
    this.#identity.logout();
    this.#dialog.close();
    this.#left("You are logged out.");
  }
}
