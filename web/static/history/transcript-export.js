// @ts-check
/** One stored conversation as text: its summary, its transcript, its files. */

import { create } from "../dom.js";
import { engineLabel } from "../ui/engine-label.js";
import { formatDateTime, formatDuration, formatTime } from "../ui/format.js";

/**
 * A stored conversation, as the API sends it.
 * @typedef {object} StoredSession
 * @property {string} id
 * @property {string} started_at
 * @property {string | null} ended_at
 * @property {string} engine
 * @property {string} model
 * @property {number} turns
 * @property {string | null} end_reason
 */
/** @typedef {{ at: string, role: string, text: string, interrupted: boolean }} StoredEntry */
/** @typedef {{ session: StoredSession, entries: StoredEntry[] }} StoredConversation */

/** @type {Record<string, string>} */
const SPEAKERS = { user: "You", assistant: "Assistant", system: "Server" };
/** @type {Record<string, string>} */
const END_REASONS = {
  idle: "ended because nothing happened",
  limit: "ended at the longest time allowed",
  shutdown: "ended when the server stopped",
  error: "ended by a fault",
};

/**
 * "3 min 12 s · 5 turns · Local engine (offline)".
 * @param {StoredSession} session
 */
export function sessionSummary(session) {
  const parts = [duration(session), turnCount(session), engineLabel(session), END_REASONS[session.end_reason ?? ""]];
  return parts.filter(Boolean).join(" · ");
}

/**
 * "1 turn" or "5 turns".
 * @param {{ turns: number }} session
 */
export function turnCount({ turns }) {
  return turns === 1 ? "1 turn" : `${turns} turns`;
}

/**
 * The transcript as a text file, one line per entry.
 * @param {StoredConversation} conversation
 */
export function transcriptText({ session, entries }) {
  const lines = entries.map(
    (entry) => `[${formatTime(entry.at, { seconds: true })}] ${speaker(entry)}: ${entry.text}${interruptionMark(entry)}`,
  );
  const began = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "short" }).format(new Date(session.started_at));
  return [`Conversation of ${began}`, sessionSummary(session), "", ...lines, ""].join("\n");
}

/**
 * A file name that sorts by time, such as conversation-2026-05-03-1405.txt.
 * @param {{ started_at: string }} session
 * @param {string} extension
 */
export function transcriptFileName({ started_at }, extension) {
  const at = new Date(started_at);
  /** @param {number} number */
  const twoDigits = (number) => String(number).padStart(2, "0");
  const day = [at.getFullYear(), twoDigits(at.getMonth() + 1), twoDigits(at.getDate())].join("-");
  return `conversation-${day}-${twoDigits(at.getHours())}${twoDigits(at.getMinutes())}.${extension}`;
}

/**
 * The transcript as elements, one per entry.
 * @param {{ entries: StoredEntry[] }} conversation
 */
export function transcriptNodes({ entries }) {
  return entries.map((entry) => {
    const text = create("p", { className: "said" }, entry.text);
    if (entry.interrupted) {
      const mark = entry.text ? "interrupted here" : "interrupted before anything was heard";
      text.append(entry.text ? " – " : "", create("em", { className: "cut" }, mark));
    }
    const time = create("time", { dateTime: entry.at }, formatTime(entry.at, { seconds: true }));
    const node = create("div", { className: "entry" }, create("p", { className: "who" }, `${speaker(entry)} `, time), text);
    node.dataset.role = entry.role;
    if (entry.interrupted) node.dataset.interrupted = "";
    return node;
  });
}

/**
 * "Today, 14:05", for headings and for the names of buttons.
 * @param {{ started_at: string }} session
 */
export function sessionTitle({ started_at }) {
  return formatDateTime(started_at);
}

/**
 * Save a text in the person's downloads.
 * @param {string} name
 * @param {string} type
 * @param {string} text
 */
export function downloadFile(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  create("a", { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}

/** @param {StoredSession} session */
function duration({ started_at, ended_at }) {
  return ended_at ? formatDuration(Date.parse(ended_at) - Date.parse(started_at)) : "going on";
}

/** @param {StoredEntry} entry */
function speaker({ role }) {
  return SPEAKERS[role] ?? role;
}

/** @param {StoredEntry} entry */
function interruptionMark({ interrupted, text }) {
  if (!interrupted) return "";
  return text ? " (interrupted here)" : "(interrupted before anything was heard)";
}
