import assert from "node:assert/strict";
import { test } from "node:test";

import { loudness } from "../static/media/level-meter.js";
import { formatAge } from "../static/media/screen-share.js";
import { formatLatency } from "../static/ui/transcript.js";

test("silence is 0, full scale is 1, and quiet speech is between", () => {
  assert.equal(loudness(new Float32Array(8)), 0);
  assert.equal(loudness(new Float32Array(8).fill(1)), 1);
  const quiet = loudness(new Float32Array(8).fill(0.02));
  assert.ok(quiet > 0.3 && quiet < 0.7, String(quiet));
});

test("an age is in seconds, then in minutes", () => {
  assert.equal(formatAge(-5), "just now");
  assert.equal(formatAge(59_999), "59 s ago");
  assert.equal(formatAge(61_000), "1 min 1 s ago");
});

test("a latency is in seconds", () => {
  assert.equal(formatLatency(412), "answered in 0.41 s");
});
