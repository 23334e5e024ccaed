import assert from "node:assert/strict";
import { test } from "node:test";

import { iceServersFrom } from "../static/net/whip-connection.js";

test("only usable ICE servers are taken from a Link header", () => {
  const link = [
    '<stun:s.example>; rel="ice-server"',
    '<turn:t.example?transport=udp>; rel="ice-server"; username="u,1"; credential="c"; credential-type="password"',
    '<turn:bare.example>; rel="ice-server"',
    '<https://x>; rel="next"',
  ].join(", ");
  assert.deepEqual(iceServersFrom(link), [
    { urls: "stun:s.example", username: undefined, credential: undefined },
    { urls: "turn:t.example?transport=udp", username: "u,1", credential: "c" },
  ]);
});

test("an empty Link header has no ICE servers", () => {
  assert.deepEqual(iceServersFrom(""), []);
});
