/** Requests that raise `Trouble` instead of failing in ways of the browser's own. */

import { Trouble, apiTrouble } from "../errors.js";

const PATIENCE = 8_000; // ms for one request

/** `fetch` with a deadline, and with `Trouble` for a server that cannot be reached. */
export async function reach(path, options = {}) {
  try {
    return await fetch(path, { signal: AbortSignal.timeout(PATIENCE), ...options });
  } catch {
    throw unreachable();
  }
}

/** The options of a request that carries JSON. */
export function withJson(method, body) {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** What an answer of the API says, null for one without a body; raises `Trouble` for a refusal. */
export async function answerOf(response) {
  if (!response.ok) throw await apiTrouble(response);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch {
    throw unreachable();
  }
}

function unreachable() {
  return new Trouble("SERVER_UNREACHABLE", { passing: true });
}
