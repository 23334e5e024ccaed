// @ts-check
/** The page's identity towards the server: nobody, a guest from the first request that needs one, or an account. */

import { AppError } from "../errors.js";
import { jsonRequest, readJson, request } from "../net/http.js";
import * as tokenStore from "./token-store.js";
import { AuthTokens, grantFrom, newGuest } from "./tokens.js";

/** @import { Grant, User } from "./tokens.js" */

/**
 * Called when another person or guest takes over, with null for nobody.
 * @callback UserChanged
 * @param {User | null} user
 * @param {User | null} previous
 * @param {boolean} isFromOtherTab
 * @returns {void}
 */

/** Requests as the current user, and the ways to change who that is. */
export class Identity {
  /** @type {AuthTokens | null} */
  #tokens = null;
  /** @type {Promise<Grant> | null} */
  #guestRequest = null;
  #onChange;

  /** @param {UserChanged} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    const grant = tokenStore.read();
    if (grant) this.#tokens = this.#tokensFor(grant);
    tokenStore.watch(() => this.#apply(tokenStore.read(), true));
  }

  /** The current user, or null before the first request that needs one. */
  get user() {
    return this.#tokens?.user ?? null;
  }

  /** True while an account is logged in and its login has not expired. */
  get isLoggedIn() {
    return this.#tokens !== null && !this.#tokens.user.guest && !this.#tokens.isExpired;
  }

  /** The current tokens, of a new guest if there are none yet; raises `AppError` when one has to log in. */
  async tokens() {
    const tokens = this.#tokens ?? (await this.#createGuest());
    if (tokens.isExpired) throw new AppError("LOGIN_EXPIRED");
    return tokens;
  }

  /**
   * `fetch` as the current user.
   * @param {string} path
   * @param {RequestInit} [options]
   */
  async fetch(path, options = {}) {
    return (await this.tokens()).fetch(path, options);
  }

  /**
   * Call the API as the current user and return the JSON body; raises `AppError` for a refusal.
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   */
  async call(method, path, body) {
    return readJson(await this.fetch(path, body === undefined ? { method } : jsonRequest(method, body)));
  }

  /**
   * Log in; the account takes over the guest's conversations.
   * @param {{ username: string, password: string }} credentials
   */
  async login({ username, password }) {
    const guest_token = await this.#guestToken();
    const body = { username, password, guest_token };
    this.#setGrant(grantFrom(await readJson(await request("/api/v1/users/login", jsonRequest("POST", body)))));
  }

  /**
   * Create an account, which takes over the guest's conversations; one has to log in to it.
   * @param {{ username: string, email: string, password: string }} account
   */
  async register({ username, email, password }) {
    const body = { username, email, password, guest_token: await this.#guestToken() };
    const response = await request("/api/v1/users/register", jsonRequest("POST", body));
    if (response.status === 403) throw new AppError("REGISTRATION_CLOSED");
    await readJson(response);
  }

  /** Log out, on this page at once; the server follows if it can be reached. */
  logout() {
    const refresh_token = this.#tokens?.grant.refresh_token;
    this.clear();
    if (!refresh_token) return;
    // The page may be reloaded meanwhile.
    request("/api/v1/users/logout", { ...jsonRequest("POST", { refresh_token }), keepalive: true }).catch(() => {});
  }

  /**
   * Change the password; every other login of this account ends.
   * @param {{ current_password: string, password: string }} passwords
   */
  async changePassword({ current_password, password }) {
    const held = await this.tokens();
    const { tokens } = await this.call("PATCH", "/api/v1/users/me", { current_password, password });
    held.replace(grantFrom(tokens));
  }

  /**
   * Delete this account with all its data.
   * @param {string} current_password
   */
  async deleteAccount(current_password) {
    await this.call("DELETE", "/api/v1/users/me", { current_password });
    this.clear();
  }

  /** Remove the tokens: the page is nobody again. */
  clear() {
    this.#setGrant(null);
  }

  async #createGuest() {
    this.#guestRequest ??= newGuest().finally(() => {
      this.#guestRequest = null;
    });
    const grant = await this.#guestRequest;
    if (!this.#tokens) this.#setGrant(grant);
    return this.#tokens ?? this.#tokensFor(grant);
  }

  async #guestToken() {
    if (!this.#tokens?.user.guest) return undefined;
    // A guest that cannot be renewed has nothing that could be taken over.
    return this.#tokens.accessToken().catch(() => undefined);
  }

  /** @param {Grant | null} grant */
  #setGrant(grant) {
    tokenStore.save(grant);
    this.#apply(grant, false);
  }

  /**
   * @param {Grant | null} grant
   * @param {boolean} isFromOtherTab
   */
  #apply(grant, isFromOtherTab) {
    const previous = this.user;
    if (grant && grant.user.id === previous?.id && !this.#tokens?.isExpired) return; // renewed elsewhere: read when needed
    this.#tokens?.retire();
    this.#tokens = grant && this.#tokensFor(grant);
    this.#onChange(this.user, previous, isFromOtherTab);
  }

  /** @param {Grant} grant */
  #tokensFor(grant) {
    const tokens = new AuthTokens(grant, () => {
      if (tokens !== this.#tokens) return;
      tokenStore.save(tokens.grant);
      this.#onChange(tokens.user, tokens.user, false);
    });
    return tokens;
  }
}
