/** One kept conversation in words, on the page and as files. */

import { engineLabel } from "../ui/engine-label.js";
import { formatTime, formatDuration, formatDateTime } from "../ui/format.js";

const SPEAKERS = { user: "You", assistant: "Assistant", system: "Server" };
const ENDED = {
  idle: "ended because nothing happened",
  limit: "ended at the longest time allowed",
  shutdown: "ended when the server stopped",
  error: "ended by a fault",
};

/** "3 min 12 s · 5 turns · Local engine (offline)". */
export function sessionSummary(session) {
  const parts = [lengthOf(session), turnCount(session), engineLabel(session), ENDED[session.end_reason]];
  return parts.filter(Boolean).join(" · ");
}

/** "1 turn" or "5 turns". */
export function turnCount({ turns }) {
  return turns === 1 ? "1 turn" : `${turns} turns`;
}

/** What was said as plain text. */
export function transcriptText({ session, entries }) {
  const lines = entries.map(
    (entry) => `[${formatTime(entry.at, { seconds: true })}] ${speakerOf(entry)}: ${entry.text}${cutOf(entry)}`,
  );
  const began = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "short" }).format(new Date(session.started_at));
  return [`Conversation of ${began}`, sessionSummary(session), "", ...lines, ""].join("\n");
}

/** A file's name that sorts by time, such as conversation-2026-05-03-1405.txt. */
export function transcriptFileName(session, ending) {
  const at = new Date(session.started_at);
  const two = (number) => String(number).padStart(2, "0");
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  return `conversation-${day}-${two(at.getHours())}${two(at.getMinutes())}.${ending}`;
}

/** What was said, entry by entry, as nodes. */
export function transcriptNodes({ entries }) {
  return entries.map((entry) => {
    const node = element("div", "entry");
    node.dataset.role = entry.role;
    const said = element("p", "said", entry.text);
    if (entry.interrupted) {
      node.dataset.interrupted = "";
      said.append(entry.text ? " – " : "", element("em", "cut", entry.text ? "interrupted here" : "interrupted before anything was heard"));
    }
    const time = element("time", "", formatTime(entry.at, { seconds: true }));
    time.dateTime = entry.at;
    const who = element("p", "who", `${speakerOf(entry)} `);
    who.append(time);
    node.append(who, said);
    return node;
  });
}

/** "Today, 14:05", for headings and for the names of buttons. */
export function sessionTitle(session) {
  return formatDateTime(session.started_at);
}

/** Give the person a file that was made here. */
export function downloadFile(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}

function lengthOf({ started_at, ended_at }) {
  return ended_at ? formatDuration(new Date(ended_at) - new Date(started_at)) : "going on";
}

function speakerOf({ role }) {
  return SPEAKERS[role] ?? role;
}

function cutOf({ interrupted, text }) {
  if (!interrupted) return "";
  return text ? " (interrupted here)" : "(interrupted before anything was heard)";
}

function element(name, className, text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}
