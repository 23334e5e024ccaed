import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AppError,
  CODES,
  apiError,
  microphoneError,
  sentenceFor,
  sentenceForField,
  textFor,
  toAppError,
  whipError,
} from "../static/errors.js";

const refusal = (status, error = {}, headers = {}) => new Response(JSON.stringify({ error }), { status, headers });

test("every code has a problem and a remedy that are sentences", () => {
  for (const code of CODES) {
    const { problem, remedy } = sentenceFor(code);
    assert.match(problem, /\.$/, code);
    assert.match(remedy, /\.”?$|”\.$/, code);
  }
});

test("an unknown code is shown in the server's words", () => {
  assert.equal(textFor(new AppError("NEW_CODE", { message: "It rains." })), "It rains. Try again.");
  assert.equal(textFor(new AppError("NEW_CODE")), "Something went wrong (NEW_CODE). Try again.");
});

test("an unknown field is explained in the server's words", () => {
  assert.equal(sentenceForField("from_the_future", "Accepts x."), "Accepts x.");
  assert.equal(sentenceForField("password", "Accepts x."), "Use 8 to 128 characters.");
});

test("a refused API request keeps its code, its wait and its fields", async () => {
  const details = { fields: [{ field: "password", message: "too short" }] };
  const error = await apiError(refusal(422, { code: "INVALID_FIELDS", details }, { "Retry-After": "7" }));
  assert.equal(error.code, "INVALID_FIELDS");
  assert.equal(error.retryAfter, 7);
  assert.deepEqual(error.fields, [{ field: "password", sentence: "Use 8 to 128 characters." }]);
});

test("a code about one field is shown at that field", async () => {
  const { fields } = await apiError(refusal(409, { code: "USERNAME_TAKEN" }));
  assert.deepEqual(fields, [{ field: "username", sentence: textFor(new AppError("USERNAME_TAKEN")) }]);
});

test("a fault of the server, or an unknown code, is SERVER_FAILED", async () => {
  assert.equal((await apiError(refusal(500, { code: "INTERNAL_ERROR" }))).code, "SERVER_FAILED");
  assert.equal((await apiError(refusal(400, { code: "NEW_CODE" }))).code, "SERVER_FAILED");
  assert.equal((await apiError(new Response("<html>", { status: 502 }))).code, "SERVER_FAILED");
});

test("a refused WHIP request is transient unless the person has to act", async () => {
  const cases = [
    [401, "UNAUTHORIZED", "UNAUTHORIZED", false],
    [403, "FORBIDDEN", "FORBIDDEN", false],
    [409, "SESSION_EXISTS", "SESSION_EXISTS", true],
    [429, "RATE_LIMITED", "TOO_MANY_REQUESTS", true],
    [429, "SESSION_LIMIT", "SESSION_LIMIT", true],
    [503, "SESSION_LIMIT", "SERVER_FULL", true],
    [429, "SESSION_LIMIT", "SESSION_LIMIT", true, { limit: "user" }],
    [429, "SESSION_LIMIT", "ADDRESS_FULL", true, { limit: "address" }],
    [503, "SESSION_LIMIT", "GUESTS_FULL", true, { limit: "guests" }],
    [503, "SESSION_LIMIT", "SERVER_FULL", true, { limit: "server" }],
    [503, "SHUTTING_DOWN", "ENDED_SHUTDOWN", true],
    [500, "INTERNAL_ERROR", "SERVER_REFUSED", true],
    [400, "INVALID_OFFER", "SERVER_REFUSED", false],
  ];
  for (const [status, code, shown, isTransient, details = {}] of cases) {
    const error = await whipError(refusal(status, { code, details }));
    assert.deepEqual([error.code, error.isTransient], [shown, isTransient], `${status} ${code} ${details.limit}`);
  }
});

test("a failed getUserMedia is named by its reason", () => {
  assert.equal(microphoneError(new DOMException("no", "NotAllowedError")).code, "MIC_DENIED");
  assert.equal(microphoneError(new DOMException("no", "NotFoundError")).code, "MIC_MISSING");
  assert.equal(microphoneError({ name: "OverconstrainedError" }).code, "MIC_MISSING");
  assert.equal(microphoneError(null).code, "MIC_BUSY");
});

test("an unexpected exception becomes an error to show and is logged", (context) => {
  const log = context.mock.method(console, "error", () => {});
  const expected = new AppError("FORBIDDEN");
  assert.equal(toAppError(expected), expected);
  assert.equal(log.mock.callCount(), 0);
  assert.equal(toAppError(new TypeError("bug")).code, "PAGE_FAILED");
  assert.equal(log.mock.callCount(), 1);
});
