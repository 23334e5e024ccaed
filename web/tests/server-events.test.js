import assert from "node:assert/strict";
import { test } from "node:test";

import { dispatch, parseEvent } from "../static/net/server-events.js";

const parse = (event) => parseEvent(JSON.stringify(event));

test("an event is returned as it was sent", () => {
  const event = { action: "pointer", frame: 1, box: [0, 0, 1000, 1], label: "Save" };
  assert.deepEqual(parse(event), event);
});

test("text that is no event is dropped", () => {
  for (const text of ["no", "null", "7", "[]", "{}", '{"action": 7}', '{"action": "toString"}']) assert.equal(parseEvent(text), null, text);
});

test("an unknown action is dropped", () => {
  assert.equal(parse({ action: "from_the_future" }), null);
});

test("an event with a field of the wrong shape is dropped", () => {
  const malformed = [
    { action: "pointer", frame: 1, box: [0, 0, 1001, 1], label: "" },
    { action: "pointer", frame: 1, box: [0, 0, 1], label: "" },
    { action: "transcript", turn: 1, role: "system", text: "" },
    { action: "transcript", turn: "1", role: "user", text: "" },
    { action: "session_started", id: "a", engine: "local", model: "m", warnings: [7] },
    { action: "screen_seen", frame: 1, age_ms: -1 },
    { action: "guidance", title: "", steps: null },
    { action: "session_ended" },
  ];
  for (const event of malformed) assert.equal(parse(event), null, JSON.stringify(event));
});

test("an event reaches the handler of its action only", () => {
  const received = [];
  const handlers = { pong: (event) => received.push(event), state: () => assert.fail() };
  dispatch({ action: "pong" }, handlers);
  dispatch({ action: "error", code: "X" }, handlers);
  assert.deepEqual(received, [{ action: "pong" }]);
});
