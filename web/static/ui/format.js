/** Times and lengths in words. */

const DAY = 86_400_000;

/** "Today, 14:05", "Yesterday, 09:30" or "3 May 2026, 14:05", in the person's own time zone. */
export function formatDateTime(at, { clock = true, now = new Date() } = {}) {
  const moment = new Date(at);
  const day = dayInWords(moment, now);
  return clock ? `${day}, ${formatTime(moment)}` : day;
}

/** "14:05". */
export function formatTime(at, { seconds = false } = {}) {
  const second = seconds ? { second: "2-digit" } : {};
  return new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", ...second }).format(new Date(at));
}

/** "48 s", "3 min 12 s" or "1 h 4 min". */
export function formatDuration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const minutes = Math.floor(seconds / 60);
  if (minutes === 0) return `${seconds} s`;
  if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

function dayInWords(moment, now) {
  const days = Math.round((midnight(now) - midnight(moment)) / DAY);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric" }).format(moment);
}

function midnight(moment) {
  return new Date(moment.getFullYear(), moment.getMonth(), moment.getDate()).getTime();
}
