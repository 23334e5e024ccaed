/** Who this page is to the server: a guest as soon as it has to be somebody, or a person who logged in. */

import { AppError } from "../errors.js";
import { AuthTokens, grantFrom, newGuest } from "./tokens.js";
import { readJson, request, jsonRequest } from "../net/http.js";
import * as tokenStore from "./token-store.js";

/** Requests as whoever this is now, and the ways to become somebody else. */
export class Identity {
  #pass = null;
  #joining = null;
  #changed;

  /**
   * `changed(user, previous, isElsewhere)` is called when another person or guest takes over, with null for nobody,
   * and says whether that happened in another tab.
   */
  constructor(changed) {
    this.#changed = changed;
    const grant = tokenStore.read();
    if (grant) this.#pass = this.#passFor(grant);
    tokenStore.watch(() => this.#follow(tokenStore.read(), true));
  }

  /** `{ id, username, guest, ... }`, or null while this page had no need to be anybody. */
  get user() {
    return this.#pass?.user ?? null;
  }

  /** Whether an account is logged in, and need not do so again. */
  get isLoggedIn() {
    return this.user !== null && !this.user.guest && !this.#pass.isLapsed;
  }

  /** The pass that holds now; raises `AppError` when one has to log in. */
  async pass() {
    if (!this.#pass) await this.#becomeGuest();
    if (this.#pass.isLapsed) throw new AppError("LOGIN_EXPIRED");
    return this.#pass;
  }

  /** `fetch` as whoever this is. */
  async fetch(path, options = {}) {
    return (await this.pass()).fetch(path, options);
  }

  /** What the API answers to this person; raises `AppError` for a refusal. */
  async call(method, path, body) {
    return readJson(await this.fetch(path, body === undefined ? { method } : jsonRequest(method, body)));
  }

  /** Log in; what was done here as a guest is the account's from now on. */
  async login({ username, password }) {
    const guest_token = await this.#guestToken();
    const body = { username, password, guest_token };
    this.#become(grantFrom(await readJson(await request("/api/v1/users/login", jsonRequest("POST", body)))));
  }

  /** Make an account, which takes over what was done here as a guest; one has to log in to it. */
  async register({ username, email, password }) {
    const body = { username, email, password, guest_token: await this.#guestToken() };
    const response = await request("/api/v1/users/register", jsonRequest("POST", body));
    if (response.status === 403) throw new AppError("REGISTRATION_CLOSED");
    await readJson(response);
  }

  /** Log out, here at once; the server is told if it can be reached. */
  logout() {
    const { refresh_token } = this.#pass.grant;
    this.forget();
    if (!refresh_token) return;
    // The page may be loaded anew meanwhile.
    request("/api/v1/users/logout", { ...jsonRequest("POST", { refresh_token }), keepalive: true }).catch(() => {});
  }

  /** Change the password; every other login of this account ends. */
  async changePassword({ current_password, password }) {
    const pass = await this.pass();
    const { tokens } = await this.call("PATCH", "/api/v1/users/me", { current_password, password });
    pass.take(grantFrom(tokens));
  }

  /** Delete this account with all that is kept of it. */
  async deleteAccount() {
    await this.call("DELETE", "/api/v1/users/me");
    this.forget();
  }

  /** Be nobody again. */
  forget() {
    this.#become(null);
  }

  async #becomeGuest() {
    this.#joining ??= newGuest().finally(() => {
      this.#joining = null;
    });
    const grant = await this.#joining;
    if (!this.#pass) this.#become(grant);
  }

  async #guestToken() {
    if (!this.user?.guest) return undefined;
    // A guest that cannot be renewed leaves nothing behind that could be taken over.
    return this.#pass.token().catch(() => undefined);
  }

  #become(grant) {
    tokenStore.save(grant);
    this.#follow(grant, false);
  }

  #follow(grant, isElsewhere) {
    const previous = this.user;
    if (grant && grant.user.id === previous?.id && !this.#pass.isLapsed) return; // renewed elsewhere: read when needed
    this.#pass?.retire();
    this.#pass = grant && this.#passFor(grant);
    this.#changed(this.user, previous, isElsewhere);
  }

  #passFor(grant) {
    const pass = new AuthTokens(grant, () => {
      if (pass !== this.#pass) return;
      tokenStore.save(pass.grant);
      this.#changed(pass.user, pass.user, false);
    });
    return pass;
  }
}
