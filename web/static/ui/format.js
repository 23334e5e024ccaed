// @ts-check
/** Dates, times and durations as text. */

const DAY = 86_400_000; // ms

/** @typedef {string | number | Date} Time as the Date constructor takes it */

/**
 * "Today, 14:05", "Yesterday, 09:30" or "3 May 2026, 14:05", in the person's own time zone.
 * @param {Time} at
 * @param {{ clock?: boolean, now?: Date }} [options] `clock` appends the time of day
 */
export function formatDateTime(at, { clock = true, now = new Date() } = {}) {
  const date = new Date(at);
  const day = formatDay(date, now);
  return clock ? `${day}, ${formatTime(date)}` : day;
}

/**
 * "14:05", or "14:05:09" with seconds.
 * @param {Time} at
 * @param {{ seconds?: boolean }} [options]
 */
export function formatTime(at, { seconds = false } = {}) {
  const second = seconds ? "2-digit" : undefined;
  return new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second }).format(new Date(at));
}

/**
 * "48 s", "3 min 12 s" or "1 h 4 min".
 * @param {number} milliseconds
 */
export function formatDuration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const minutes = Math.floor(seconds / 60);
  if (minutes === 0) return `${seconds} s`;
  if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/**
 * @param {Date} date
 * @param {Date} now
 */
function formatDay(date, now) {
  const days = Math.round((midnight(now) - midnight(date)) / DAY);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric" }).format(date);
}

/** @param {Date} date */
function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}
