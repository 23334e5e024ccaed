// @ts-check
/** The dialog to log in or to create an account: one form with two modes. */

import { uiElement, uiElements } from "../dom.js";
import { AppError, textFor } from "../errors.js";
import { makeDismissible } from "../ui/dialog.js";
import { Form } from "../ui/form.js";

/** @import { Identity } from "./identity.js" */

/** @typedef {"login" | "register"} Mode */

/** @type {Record<Mode, { title: string, name: string, password: AutoFill, submit: string, other: string }>} */
const MODES = {
  login: {
    title: "Log in",
    name: "Username or email",
    password: "current-password",
    submit: "Log in",
    other: "Create an account",
  },
  register: {
    title: "Create an account",
    name: "Username",
    password: "new-password",
    submit: "Create account",
    other: "I have an account",
  },
};
const USERNAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{2,31}";

/** The login dialog. */
export class LoginDialog {
  #dialog = uiElement(document, "login-dialog", HTMLDialogElement);
  #reason = uiElement(this.#dialog, "login-reason");
  #closedNote = uiElement(this.#dialog, "registration-closed");
  #asGuestButton = uiElement(this.#dialog, "as-guest");
  #switchButton = uiElement(this.#dialog, "switch-mode");
  #identity;
  #onLogin;
  #form;
  /** @type {Mode} */
  #mode = "login";
  /** @type {(() => void) | null} */
  #onSuccess = null;

  /**
   * @param {Identity} identity
   * @param {() => void} onLogin called after the dialog has closed with success
   */
  constructor(identity, onLogin) {
    this.#identity = identity;
    this.#onLogin = onLogin;
    this.#form = new Form(uiElement(this.#dialog, "login-form", HTMLFormElement), (values) => this.#send(values));
    makeDismissible(this.#dialog);
    this.#switchButton.addEventListener("click", () => this.#switchTo(this.#mode === "login" ? "register" : "login"));
    this.#asGuestButton.addEventListener("click", () => this.#continueAsGuest());
  }

  /**
   * Ask for a login; `error` is the reason shown, and `onSuccess` is called after the login.
   * @param {{ error?: AppError | null, onSuccess?: (() => void) | null }} [options]
   */
  open({ error = null, onSuccess = null } = {}) {
    this.#onSuccess = onSuccess;
    this.#form.reset();
    this.#render("login");
    const { user } = this.#identity;
    const expired = user && !user.guest ? user : null;
    if (expired) this.#form.field("username").value = expired.username;
    this.#asGuestButton.hidden = !expired;
    this.#reason.textContent = error ? textFor(error) : this.#invitation();
    this.#dialog.showModal();
    this.#form.field(expired ? "password" : "username").focus();
  }

  /** @param {Mode} mode */
  #switchTo(mode) {
    this.#form.clearErrors();
    this.#render(mode);
    this.#reason.textContent = this.#invitation();
    (this.#closedNote.hidden ? this.#form.field("username") : this.#closedNote).focus();
  }

  /** @param {Mode} mode */
  #render(mode) {
    this.#mode = mode;
    const labels = MODES[mode];
    const isNew = mode === "register";
    const isClosed = isNew && document.body.dataset.registration === "closed";
    uiElement(this.#dialog, "login-title").textContent = labels.title;
    uiElement(this.#dialog, "name-label").textContent = labels.name;
    uiElement(this.#dialog, "submit").textContent = labels.submit;
    this.#switchButton.textContent = labels.other;
    this.#closedNote.hidden = !isClosed;
    uiElement(this.#dialog, "login-fields").hidden = isClosed;
    uiElement(this.#dialog, "email-field").hidden = !isNew;
    this.#form.field("email").disabled = !isNew;
    for (const hint of uiElements(this.#dialog, "new-account-hint")) hint.hidden = !isNew;
    const password = this.#form.field("password");
    password.autocomplete = labels.password;
    setPattern(password, isNew ? ".{8,128}" : null);
    setPattern(this.#form.field("username"), isNew ? USERNAME : null);
  }

  /** @param {Record<string, string>} values */
  async #send({ username, email, password }) {
    const values = { username: username.trim(), email, password };
    if (this.#mode === "register" && !(await this.#register(values))) return;
    await this.#identity.login(values);
    const onSuccess = this.#onSuccess;
    this.#form.reset();
    this.#dialog.close();
    this.#onLogin();
    onSuccess?.();
  }

  /**
   * False when this server takes no registrations.
   * @param {{ username: string, email: string, password: string }} values
   */
  async #register(values) {
    try {
      await this.#identity.register(values);
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== "REGISTRATION_CLOSED") throw error;
      document.body.dataset.registration = "closed";
      this.#render("register");
      this.#closedNote.focus();
      return false;
    }
    // If logging in fails now, the account still exists.
    this.#render("login");
    this.#reason.textContent = "Your account is made. Log in to use it.";
    return true;
  }

  #continueAsGuest() {
    this.#identity.clear();
    this.#dialog.close();
    this.#onSuccess?.();
  }

  #invitation() {
    const asGuest = this.#identity.user?.guest ? " What you said here as a guest comes along." : "";
    return `With an account your conversations and settings are there on every computer.${asGuest}`;
  }
}

/**
 * @param {HTMLInputElement} input
 * @param {string | null} pattern
 */
function setPattern(input, pattern) {
  if (pattern) input.pattern = pattern;
  else input.removeAttribute("pattern");
}
