import assert from "node:assert/strict";
import { test } from "node:test";

import { engineLabel, privacyNote } from "../static/ui/engine-label.js";

test("known engines have a name, others keep theirs", () => {
  assert.equal(engineLabel({ engine: "local", model: "gemini-9" }), "Local engine (offline)");
  assert.equal(engineLabel({ engine: "gemini", model: "m" }), "Gemini Live, model m");
  assert.equal(engineLabel({ engine: "other", model: "" }), "other");
});

test("the privacy note names Google unless the engine is local", () => {
  assert.doesNotMatch(privacyNote("local"), /Google/);
  assert.match(privacyNote("gemini"), /Google’s Gemini/);
  assert.match(privacyNote("other"), /only if Gemini is the engine/);
});
