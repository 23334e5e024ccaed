import assert from "node:assert/strict";
import { test } from "node:test";

import { settingsFrom } from "../static/auth/settings-dialog.js";

test("an empty field is left to the server, and the pause is a number", () => {
  assert.deepEqual(settingsFrom({ voice: " Kore ", language: "  ", silence_ms: "700" }), { voice: "Kore", language: null, silence_ms: 700 });
  assert.equal(settingsFrom({ silence_ms: "" }).silence_ms, null);
});
