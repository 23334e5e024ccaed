/** Where this browser keeps who it is between visits and between tabs. */

const KEY = "mediaserver.identity";

let kept = null; // stands in where storage is switched off

/** The grant that was kept last, by whichever tab, or null. */
export function read() {
  try {
    return whole(JSON.parse(localStorage.getItem(KEY)));
  } catch {
    return kept;
  }
}

/** Keep a grant; null forgets it. */
export function save(grant) {
  kept = grant;
  try {
    if (grant) localStorage.setItem(KEY, JSON.stringify(grant));
    else localStorage.removeItem(KEY);
  } catch {
    // Storage is switched off: the grant then lives as long as the page.
  }
}

/** Run `followed` when another tab keeps or forgets one. */
export function watch(followed) {
  window.addEventListener("storage", (event) => {
    if (event.key === KEY || event.key === null) followed();
  });
}

/** Run `task` while no other tab does: two that spend one refresh token would both be logged out. */
export function withLock(task) {
  // Plain http from another machine has no locks; there `task` still sees what other tabs kept before it began.
  return navigator.locks ? navigator.locks.request(KEY, task) : task();
}

function whole(grant) {
  return typeof grant?.access_token === "string" && typeof grant.user?.id === "string" ? grant : null;
}
