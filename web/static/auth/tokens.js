// @ts-check
/** The access and refresh token of one login, or of one guest. */

import { AppError } from "../errors.js";
import { jsonRequest, readJson, request } from "../net/http.js";
import * as tokenStore from "./token-store.js";

/** @typedef {{ id: string, username: string, guest: boolean, email?: string | null, created_at?: string }} User */

/**
 * The part of a login response that is saved.
 * @typedef {object} Grant
 * @property {string} access_token "" once its person has to log in again
 * @property {string | null} refresh_token
 * @property {number} until the end of the access token, in ms since 1970
 * @property {User} user
 */

const MARGIN = 60_000; // ms before its end at which a token is renewed

/** Requests with one person's or guest's token; it is renewed before it ends, or once when it is refused. */
export class AuthTokens {
  #grant;
  #onReplaced;
  /** @type {Promise<void> | null} */
  #renewing = null;
  #isRetired = false;

  /**
   * @param {Grant} grant
   * @param {() => void} onReplaced called after the tokens were replaced
   */
  constructor(grant, onReplaced) {
    this.#grant = grant;
    this.#onReplaced = onReplaced;
  }

  /** The owner of these tokens. */
  get user() {
    return this.#grant.user;
  }

  /** The tokens in the form in which they are saved. */
  get grant() {
    return this.#grant;
  }

  /** True when the owner has to log in again. */
  get isExpired() {
    return this.#grant.access_token === "";
  }

  /**
   * `fetch` with the access token: raises `AppError` when that cannot be done, never for a status.
   * @param {string} path
   * @param {RequestInit} [options]
   */
  async fetch(path, options = {}) {
    if (this.#isStale && !this.#isRetired) await this.#renew();
    const used = this.#grant.access_token;
    const response = await this.#send(path, options);
    if (response.status !== 401 || this.#isRetired) return response;
    if (this.#grant.access_token === used) await this.#renew();
    return this.#send(path, options);
  }

  /**
   * Send a last request that may outlive the page.
   * @param {string} path
   * @param {string} method
   */
  endOnUnload(path, method) {
    fetch(path, { method, headers: this.#headers(), keepalive: true }).catch(() => {});
  }

  /** The access token, renewed if it is stale and can be. */
  async accessToken() {
    if (this.#isStale && this.#grant.refresh_token) await this.#renew();
    return this.#grant.access_token;
  }

  /** Stop renewing: another grant has replaced this one, and its last users keep the token until it ends. */
  retire() {
    this.#isRetired = true;
  }

  /**
   * Replace the tokens with those that came with a changed password, or from another tab.
   * @param {Grant} grant
   */
  replace(grant) {
    this.#grant = grant;
    this.#onReplaced();
  }

  get #isStale() {
    return Date.now() > this.#grant.until - MARGIN;
  }

  #renew() {
    this.#renewing ??= tokenStore.withLock(() => this.#renewLocked()).finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  async #renewLocked() {
    if (this.#isRetired) return;
    const saved = tokenStore.read();
    const isFromOtherTab = saved?.user.id === this.user.id && saved.access_token !== this.#grant.access_token;
    const grant = isFromOtherTab ? saved : await this.#nextGrant();
    if (!this.#isRetired) this.replace(grant);
    if (this.isExpired) throw new AppError("LOGIN_EXPIRED");
  }

  /** @returns {Promise<Grant>} */
  async #nextGrant() {
    if (this.#grant.refresh_token) {
      const response = await request("/api/v1/users/refresh", jsonRequest("POST", { refresh_token: this.#grant.refresh_token }));
      if (response.status !== 401) return grantFrom(await readJson(response));
    }
    return this.user.guest ? newGuest() : { ...this.#grant, access_token: "", refresh_token: null, until: 0 };
  }

  /**
   * @param {string} path
   * @param {RequestInit} options
   */
  #send(path, options) {
    return request(path, { ...options, headers: { ...options.headers, ...this.#headers() } });
  }

  #headers() {
    return { Authorization: `Bearer ${this.#grant.access_token}` };
  }
}

/** The tokens of a new guest; raises `AppError` where guests are not allowed. */
export async function newGuest() {
  const response = await request("/api/v1/guests", { method: "POST" });
  if (response.status === 403) throw new AppError("GUESTS_NOT_ALLOWED");
  return grantFrom(await readJson(response));
}

/**
 * The grant in a login response.
 * @param {{ access_token: string, refresh_token?: string | null, expires_in: number, user: User }} response
 * @returns {Grant}
 */
export function grantFrom({ access_token, refresh_token = null, expires_in, user }) {
  return { access_token, refresh_token, until: Date.now() + expires_in * 1000, user };
}
