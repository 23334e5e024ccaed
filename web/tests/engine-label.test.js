import assert from "node:assert/strict";
import { test } from "node:test";

import { engineLabel, privacyNote } from "../static/ui/engine-label.js";

test("known engines have a name, others keep theirs", () => {
  assert.equal(engineLabel({ engine: "local", model: "gemini-9" }), "Local engine (offline)");
  assert.equal(engineLabel({ engine: "gemini", model: "m" }), "Gemini Live, model m");
  assert.equal(engineLabel({ engine: "other", model: "" }), "other");
});

test("a model that answers in the local engine is named with its host, and that it is sent questions and pictures", () => {
  const own = { engine: "local", model: "local", language_model: { model: "qwen", host: "box:11434" } };
  assert.equal(engineLabel(own), "Local engine, answers by qwen at box:11434");
  assert.match(privacyNote(own), /go on to qwen at box:11434/);
});

test("the privacy note names Google unless the engine is local", () => {
  assert.doesNotMatch(privacyNote({ engine: "local" }), /Google/);
  assert.match(privacyNote({ engine: "gemini" }), /Google’s Gemini/);
  assert.match(privacyNote({ engine: "other" }), /only if Gemini is the engine/);
});
