/** Who this page is to the server: a guest's token, kept between visits. */

import { Trouble, troubleFrom } from "./errors.js";

const KEY = "mediaserver.token";
const PATIENCE = 8_000; // ms for one request

/** Requests with the guest's bearer token; a token the server refuses is replaced once. */
export class Identity {
  #token = stored();

  /** `fetch` as this guest: raises `Trouble` when the server cannot be reached, never for a status. */
  async fetch(path, options = {}) {
    if (!this.#token) await this.#become();
    const response = await this.#send(path, options);
    if (response.status !== 401) return response;
    await this.#become();
    return this.#send(path, options);
  }

  /** Send a last request that may outlive the page. */
  farewell(path, method) {
    if (this.#token) fetch(path, { method, headers: this.#headers(), keepalive: true }).catch(() => {});
  }

  async #become() {
    this.#keep(null);
    const response = await reach("/api/v1/guests", { method: "POST" });
    if (response.status === 403) throw new Trouble("GUESTS_NOT_ALLOWED");
    if (!response.ok) throw await troubleFrom(response);
    this.#keep((await response.json()).access_token);
  }

  #send(path, options) {
    return reach(path, { ...options, headers: { ...options.headers, ...this.#headers() } });
  }

  #headers() {
    return { Authorization: `Bearer ${this.#token}` };
  }

  #keep(token) {
    this.#token = token;
    try {
      if (token) localStorage.setItem(KEY, token);
      else localStorage.removeItem(KEY);
    } catch {
      // Storage is switched off: the token then lives as long as the page.
    }
  }
}

/** `fetch` with a deadline, and with `Trouble` for a server that cannot be reached. */
export async function reach(path, options = {}) {
  try {
    return await fetch(path, { signal: AbortSignal.timeout(PATIENCE), ...options });
  } catch {
    throw new Trouble("SERVER_UNREACHABLE", { passing: true });
  }
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
