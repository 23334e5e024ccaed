import assert from "node:assert/strict";
import { test } from "node:test";

import { readJson, request } from "../static/net/http.js";

test("a server that cannot be reached is a transient error", async (context) => {
  context.mock.method(globalThis, "fetch", async () => {
    throw new TypeError("no route");
  });
  await assert.rejects(request("/x"), { code: "SERVER_UNREACHABLE", isTransient: true });
});

test("a request has a deadline", async (context) => {
  const fetch = context.mock.method(globalThis, "fetch", async () => new Response());
  await request("/x", { method: "POST" });
  const [path, options] = fetch.mock.calls[0].arguments;
  assert.equal(path, "/x");
  assert.equal(options.method, "POST");
  assert.ok(options.signal instanceof AbortSignal);
});

test("a body is read as JSON, and a response without one is null", async () => {
  assert.deepEqual(await readJson(new Response('{"a": 1}')), { a: 1 });
  assert.equal(await readJson(new Response(null, { status: 204 })), null);
});

test("a refusal and a broken body are raised", async () => {
  await assert.rejects(readJson(new Response("{}", { status: 500 })), { code: "SERVER_FAILED" });
  await assert.rejects(readJson(new Response("{")), { code: "SERVER_UNREACHABLE" });
});
