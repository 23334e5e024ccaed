// @ts-check
/** The tokens of this browser, kept in localStorage across visits and shared by its tabs. */

/** @import { Grant } from "./tokens.js" */

const KEY = "mediaserver.identity";

/** @type {Grant | null} */
let fallback = null; // used where storage is switched off

/**
 * The grant that was saved last, by whichever tab, or null.
 * @returns {Grant | null}
 */
export function read() {
  try {
    return checked(JSON.parse(localStorage.getItem(KEY) ?? "null"));
  } catch {
    return fallback;
  }
}

/**
 * Save a grant; null removes it.
 * @param {Grant | null} grant
 */
export function save(grant) {
  fallback = grant;
  try {
    if (grant) localStorage.setItem(KEY, JSON.stringify(grant));
    else localStorage.removeItem(KEY);
  } catch {
    // Storage is switched off: the grant then lives as long as the page.
  }
}

/**
 * Call `onChange` when another tab saves or removes a grant.
 * @param {() => void} onChange
 */
export function watch(onChange) {
  window.addEventListener("storage", (event) => {
    if (event.key === KEY || event.key === null) onChange();
  });
}

/**
 * Run `task` while no other tab does: two that spend one refresh token would both be logged out.
 * @param {() => Promise<void>} task
 * @returns {Promise<void>}
 */
export async function withLock(task) {
  // Plain http from another machine has no locks; there `task` still reads what other tabs saved before it began.
  return navigator.locks ? navigator.locks.request(KEY, task) : task();
}

/**
 * @param {any} grant
 * @returns {Grant | null}
 */
function checked(grant) {
  return typeof grant?.access_token === "string" && typeof grant.user?.id === "string" ? grant : null;
}
