import assert from "node:assert/strict";
import { test } from "node:test";

import { formatDateTime, formatDuration, formatTime } from "../static/ui/format.js";

const MORNING = new Date(2026, 4, 3, 9, 5, 7);

test("a duration is in its two largest units", () => {
  const expected = { "-1": "0 s", 48_000: "48 s", 120_000: "2 min", 192_000: "3 min 12 s", 3_840_000: "1 h 4 min", 7_200_000: "2 h" };
  for (const [milliseconds, text] of Object.entries(expected)) assert.equal(formatDuration(Number(milliseconds)), text);
});

test("a day is named while it is near", () => {
  assert.equal(formatDateTime(MORNING, { now: new Date(2026, 4, 3, 23) }), "Today, 09:05");
  assert.equal(formatDateTime(MORNING, { now: new Date(2026, 4, 4, 1) }), "Yesterday, 09:05");
  assert.equal(formatDateTime(MORNING, { now: new Date(2026, 4, 5, 1) }), "3 May 2026, 09:05");
});

test("the time of day can be left out", () => {
  assert.equal(formatDateTime(new Date(2025, 4, 3), { clock: false, now: MORNING }), "3 May 2025");
});

test("seconds are shown on request", () => {
  assert.equal(formatTime(MORNING), "09:05");
  assert.equal(formatTime(MORNING, { seconds: true }), "09:05:07");
});
