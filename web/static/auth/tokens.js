/** The tokens of one login, or of one guest. */

import { AppError } from "../errors.js";
import { readJson, request, jsonRequest } from "../net/http.js";
import * as tokenStore from "./token-store.js";

const MARGIN = 60_000; // ms before its end at which a token is renewed

/** Requests in one person's or guest's name; the token is renewed before it ends, or once when it is refused. */
export class AuthTokens {
  #grant;
  #changed;
  #renewing = null;
  #retired = false;

  /** `changed()` is called after the tokens were replaced. */
  constructor(grant, changed) {
    this.#grant = grant;
    this.#changed = changed;
  }

  /** `{ id, username, guest, ... }`. */
  get user() {
    return this.#grant.user;
  }

  /** What is to be kept of it. */
  get grant() {
    return this.#grant;
  }

  /** Whether its person has to log in again. */
  get isLapsed() {
    return this.#grant.access_token === "";
  }

  /** `fetch` as its holder: raises `AppError` when that cannot be done, never for a status. */
  async fetch(path, options = {}) {
    if (this.#isStale && !this.#retired) await this.#renew();
    const used = this.#grant.access_token;
    const response = await this.#send(path, options);
    if (response.status !== 401 || this.#retired) return response;
    if (this.#grant.access_token === used) await this.#renew();
    return this.#send(path, options);
  }

  /** Send a last request that may outlive the page. */
  endOnUnload(path, method) {
    fetch(path, { method, headers: this.#headers(), keepalive: true }).catch(() => {});
  }

  /** The access token, fresh if that is possible. */
  async token() {
    if (this.#isStale && this.#grant.refresh_token) await this.#renew();
    return this.#grant.access_token;
  }

  /** Another pass has taken its place: what still uses this one does so until its token ends. */
  retire() {
    this.#retired = true;
  }

  /** Take the tokens that came with a changed password, or from another tab. */
  take(grant) {
    this.#grant = grant;
    this.#changed();
  }

  get #isStale() {
    return Date.now() > this.#grant.until - MARGIN;
  }

  #renew() {
    this.#renewing ??= tokenStore.withLock(() => this.#replace()).finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  async #replace() {
    if (this.#retired) return;
    const kept = tokenStore.read();
    const fromAnotherTab = kept?.user.id === this.user.id && kept.access_token !== this.#grant.access_token;
    const grant = fromAnotherTab ? kept : await this.#successor();
    if (!this.#retired) this.take(grant);
    if (this.isLapsed) throw new AppError("LOGIN_EXPIRED");
  }

  async #successor() {
    if (this.#grant.refresh_token) {
      const response = await request("/api/v1/users/refresh", jsonRequest("POST", { refresh_token: this.#grant.refresh_token }));
      if (response.status !== 401) return grantFrom(await readJson(response));
    }
    return this.user.guest ? newGuest() : { ...this.#grant, access_token: "", refresh_token: null, until: 0 };
  }

  #send(path, options) {
    return request(path, { ...options, headers: { ...options.headers, ...this.#headers() } });
  }

  #headers() {
    return { Authorization: `Bearer ${this.#grant.access_token}` };
  }
}

/** A guest's first tokens; raises `AppError` where guests are not allowed. */
export async function newGuest() {
  const response = await request("/api/v1/guests", { method: "POST" });
  if (response.status === 403) throw new AppError("GUESTS_NOT_ALLOWED");
  return grantFrom(await readJson(response));
}

/** What is kept of a login's answer. */
export function grantFrom({ access_token, refresh_token = null, expires_in, user }) {
  return { access_token, refresh_token, until: Date.now() + expires_in * 1000, user };
}
