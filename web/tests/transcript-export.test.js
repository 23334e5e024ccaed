import assert from "node:assert/strict";
import { test } from "node:test";

import { sessionSummary, transcriptFileName, transcriptText, turnCount } from "../static/history/transcript-export.js";

const SESSION = {
  id: "s",
  started_at: "2026-05-03T09:05:00",
  ended_at: "2026-05-03T09:08:12",
  engine: "local",
  model: "local-1",
  turns: 5,
  end_reason: "client",
};
const entry = (second, role, text, interrupted = false) => ({ at: `2026-05-03T09:05:0${second}`, role, text, interrupted });

test("a file name sorts by time", () => {
  assert.equal(transcriptFileName(SESSION, "txt"), "conversation-2026-05-03-0905.txt");
});

test("one turn is singular", () => {
  assert.equal(turnCount({ turns: 1 }), "1 turn");
  assert.equal(turnCount({ turns: 0 }), "0 turns");
});

test("the summary names an end that the person did not choose", () => {
  assert.equal(sessionSummary(SESSION), "3 min 12 s · 5 turns · Local engine (offline)");
  assert.equal(
    sessionSummary({ ...SESSION, end_reason: "idle" }),
    "3 min 12 s · 5 turns · Local engine (offline) · ended because nothing happened",
  );
});

test("a conversation without an end is going on", () => {
  assert.match(sessionSummary({ ...SESSION, ended_at: null, end_reason: null }), /^going on · /);
});

test("the text has one line per entry, marked where it was interrupted", () => {
  const entries = [
    entry(1, "user", "Where is Save?"),
    entry(2, "assistant", "It is at the", true),
    entry(3, "assistant", "", true),
    entry(4, "system", "The engine was replaced."),
  ];
  assert.deepEqual(transcriptText({ session: SESSION, entries }).split("\n"), [
    "Conversation of 3 May 2026 at 09:05",
    "3 min 12 s · 5 turns · Local engine (offline)",
    "",
    "[09:05:01] You: Where is Save?",
    "[09:05:02] Assistant: It is at the (interrupted here)",
    "[09:05:03] Assistant: (interrupted before anything was heard)",
    "[09:05:04] Server: The engine was replaced.",
    "",
  ]);
});
