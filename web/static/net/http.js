// @ts-check
/** HTTP requests that raise `AppError` instead of the browser's own errors. */

import { AppError, apiError } from "../errors.js";

const TIMEOUT = 8_000; // ms for one request

/**
 * `fetch` with a deadline; raises `AppError` when the server cannot be reached.
 * @param {string} path
 * @param {RequestInit} [options]
 */
export async function request(path, options = {}) {
  try {
    return await fetch(path, { signal: AbortSignal.timeout(TIMEOUT), ...options });
  } catch {
    throw unreachable();
  }
}

/**
 * The options of a request with a JSON body.
 * @param {string} method
 * @param {unknown} body
 * @returns {RequestInit}
 */
export function jsonRequest(method, body) {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/**
 * The JSON body of an API response, null where there is none; raises `AppError` for a refusal.
 * @param {Response} response
 * @returns {Promise<any>}
 */
export async function readJson(response) {
  if (!response.ok) throw await apiError(response);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch {
    throw unreachable();
  }
}

function unreachable() {
  return new AppError("SERVER_UNREACHABLE", { isTransient: true });
}
