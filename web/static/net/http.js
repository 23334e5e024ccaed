/** Requests that raise `AppError` instead of failing in ways of the browser's own. */

import { AppError, apiError } from "../errors.js";

const PATIENCE = 8_000; // ms for one request

/** `fetch` with a deadline, and with `AppError` for a server that cannot be reached. */
export async function request(path, options = {}) {
  try {
    return await fetch(path, { signal: AbortSignal.timeout(PATIENCE), ...options });
  } catch {
    throw unreachable();
  }
}

/** The options of a request that carries JSON. */
export function jsonRequest(method, body) {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** What an answer of the API says, null for one without a body; raises `AppError` for a refusal. */
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
  return new AppError("SERVER_UNREACHABLE", { passing: true });
}
