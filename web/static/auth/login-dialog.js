/** Logging in, and making an account: one form that can be either. */

import { makeDismissible } from "../ui/dialog.js";
import { sentenceFor } from "../errors.js";
import { Form } from "../ui/form.js";

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

/** The dialog; `loggedIn()` is called after it has closed with success. */
export class LoginDialog {
  #dialog;
  #identity;
  #loggedIn;
  #form;
  #mode = "login";
  #then = null;

  constructor(dialog, identity, loggedIn) {
    this.#dialog = dialog;
    this.#identity = identity;
    this.#loggedIn = loggedIn;
    this.#form = new Form(dialog.querySelector("form"), (values) => this.#send(values));
    makeDismissible(dialog);
    this.#part(".other").addEventListener("click", () => this.#turn(this.#mode === "login" ? "register" : "login"));
    this.#part(".as-guest").addEventListener("click", () => this.#beGuest());
  }

  /** Ask who is there; `error` says why that is needed, and `then` is run after a login. */
  open({ error = null, then = null } = {}) {
    this.#then = then;
    this.#form.reset();
    this.#show("login");
    const { user } = this.#identity;
    const lapsed = user !== null && !user.guest;
    if (lapsed) this.#field("username").value = user.username;
    this.#part(".as-guest").hidden = !lapsed;
    this.#part(".why").textContent = error ? inWords(error) : this.#invitation();
    this.#dialog.showModal();
    this.#field(lapsed ? "password" : "username").focus();
  }

  #turn(mode) {
    this.#form.tidy();
    this.#show(mode);
    this.#part(".why").textContent = this.#invitation();
    (this.#part(".closed").hidden ? this.#field("username") : this.#part(".closed")).focus();
  }

  #show(mode) {
    this.#mode = mode;
    const words = MODES[mode];
    const isNew = mode === "register";
    const isClosed = isNew && document.body.dataset.registration === "closed";
    this.#part("h2").textContent = words.title;
    this.#part(".name").textContent = words.name;
    this.#part("[type=submit]").textContent = words.submit;
    this.#part(".other").textContent = words.other;
    this.#part(".closed").hidden = !isClosed;
    this.#part(".fields").hidden = isClosed;
    this.#part(".email").hidden = !isNew;
    this.#field("email").disabled = !isNew;
    for (const hint of this.#dialog.querySelectorAll(".for-new")) hint.hidden = !isNew;
    this.#field("password").autocomplete = words.password;
    setPattern(this.#field("password"), isNew ? ".{8,128}" : null);
    setPattern(this.#field("username"), isNew ? USERNAME : null);
  }

  async #send({ username, ...others }) {
    const values = { username: username.trim(), ...others };
    if (this.#mode === "register" && !(await this.#register(values))) return;
    await this.#identity.login(values);
    const then = this.#then;
    this.#form.reset();
    this.#dialog.close();
    this.#loggedIn();
    then?.();
  }

  /** False when nobody may register here. */
  async #register(values) {
    try {
      await this.#identity.register(values);
    } catch (error) {
      if (error.code !== "REGISTRATION_CLOSED") throw error;
      document.body.dataset.registration = "closed";
      this.#show("register");
      this.#part(".closed").focus();
      return false;
    }
    // Should logging in fail now, the account is there all the same.
    this.#show("login");
    this.#part(".why").textContent = "Your account is made. Log in to use it.";
    return true;
  }

  #beGuest() {
    this.#identity.forget();
    this.#dialog.close();
    this.#then?.();
  }

  #invitation() {
    const kept = this.#identity.user?.guest ? " What you said here as a guest comes along." : "";
    return `With an account your conversations and settings are there on every computer.${kept}`;
  }

  #part(selector) {
    return this.#dialog.querySelector(selector);
  }

  #field(name) {
    return this.#dialog.querySelector("form").elements[name];
  }
}

function inWords(error) {
  const { what, todo } = sentenceFor(error.code, error.said);
  return `${what} ${todo}`;
}

function setPattern(input, pattern) {
  if (pattern) input.pattern = pattern;
  else input.removeAttribute("pattern");
}
