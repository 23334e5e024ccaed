import assert from "node:assert/strict";
import { test } from "node:test";

import { examplesNow } from "../static/ui/examples.js";

const ALL = ["What is on my screen?", "Find settings", "What time is it?", "Say that again", "Help"];

test("before anything has happened all examples are shown", () => {
  assert.deepEqual(examplesNow(ALL, { sharing: false, answered: false }), ALL);
});

test("questions about the screen need a screen, and about an answer an answer", () => {
  assert.deepEqual(examplesNow(ALL, { sharing: true, answered: false }), ["What is on my screen?", "Find settings", "What time is it?", "Help"]);
  assert.deepEqual(examplesNow(ALL, { sharing: false, answered: true }), ["What time is it?", "Say that again", "Help"]);
  assert.deepEqual(examplesNow(ALL, { sharing: true, answered: true }), ALL);
});
