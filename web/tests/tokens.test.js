import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import * as tokenStore from "../static/auth/token-store.js";
import { AuthTokens, grantFrom, newGuest } from "../static/auth/tokens.js";
import { installBrowser } from "./fake-browser.js";

const ADA = { id: "1", username: "ada", guest: false };
const GUEST = { id: "2", username: "guest-2", guest: true };
const HOUR = 3_600_000;

/** The fake server's [status, body] pairs by "METHOD path", in order; the last one repeats. */
let responses = {};
let requests = [];

beforeEach(() => {
  responses = {};
  requests = [];
  installBrowser();
  mock.restoreAll();
  mock.method(globalThis, "fetch", async (path, { method = "GET", headers, body }) => {
    const line = `${method} ${path}`;
    requests.push({ line, token: headers?.Authorization, body: body && JSON.parse(body) });
    const [status, json] = responses[line].length > 1 ? responses[line].shift() : responses[line][0];
    return new Response(json && JSON.stringify(json), { status });
  });
});

const grant = (changes = {}) => ({ access_token: "a1", refresh_token: "r1", until: Date.now() + HOUR, user: ADA, ...changes });
const login = (token, user = ADA) => ({ access_token: `a${token}`, refresh_token: `r${token}`, expires_in: 3600, user });
const tokensOf = (initial) => {
  const replaced = mock.fn();
  return { tokens: new AuthTokens(initial, replaced), replaced };
};
const lines = () => requests.map(({ line }) => line);

test("a request carries the access token", async () => {
  responses = { "GET /me": [[200]] };
  await tokensOf(grant()).tokens.fetch("/me");
  assert.deepEqual(requests.map(({ token }) => token), ["Bearer a1"]);
});

test("a token that is about to end is renewed first", async () => {
  responses = { "GET /me": [[200]], "POST /api/v1/users/refresh": [[200, login(2)]] };
  const { tokens, replaced } = tokensOf(grant({ until: Date.now() + 30_000 }));
  await tokens.fetch("/me");
  assert.deepEqual(lines(), ["POST /api/v1/users/refresh", "GET /me"]);
  assert.deepEqual(requests[0].body, { refresh_token: "r1" });
  assert.equal(requests[1].token, "Bearer a2");
  assert.equal(replaced.mock.callCount(), 1);
});

test("requests refused together renew the token once", async () => {
  responses = { "GET /me": [[401], [401], [200]], "POST /api/v1/users/refresh": [[200, login(2)]] };
  const { tokens } = tokensOf(grant());
  const answers = await Promise.all([tokens.fetch("/me"), tokens.fetch("/me")]);
  assert.deepEqual(answers.map(({ status }) => status), [200, 200]);
  assert.equal(lines().filter((line) => line.includes("refresh")).length, 1);
});

test("a request that is refused again is not repeated", async () => {
  responses = { "GET /me": [[401]], "POST /api/v1/users/refresh": [[200, login(2)]] };
  const answer = await tokensOf(grant()).tokens.fetch("/me");
  assert.equal(answer.status, 401);
  assert.deepEqual(lines(), ["GET /me", "POST /api/v1/users/refresh", "GET /me"]);
});

test("an account whose refresh token is refused has to log in again", async () => {
  responses = { "GET /me": [[401]], "POST /api/v1/users/refresh": [[401]] };
  const { tokens } = tokensOf(grant());
  await assert.rejects(tokens.fetch("/me"), { code: "LOGIN_EXPIRED" });
  assert.equal(tokens.isExpired, true);
});

test("a guest whose refresh token is refused becomes a new guest", async () => {
  responses = { "GET /me": [[401], [200]], "POST /api/v1/users/refresh": [[401]], "POST /api/v1/guests": [[201, login(3, GUEST)]] };
  const { tokens } = tokensOf(grant({ user: { ...GUEST, id: "0" } }));
  assert.equal((await tokens.fetch("/me")).status, 200);
  assert.equal(tokens.user.id, GUEST.id);
});

test("tokens that another tab has renewed are taken from the store", async () => {
  responses = { "GET /me": [[401], [200]] };
  const { tokens } = tokensOf(grant());
  tokenStore.save(grant({ access_token: "a9", refresh_token: "r9" }));
  await tokens.fetch("/me");
  assert.deepEqual(requests.map(({ token }) => token), ["Bearer a1", "Bearer a9"]);
});

test("retired tokens are used as they are", async () => {
  responses = { "GET /me": [[401]] };
  const { tokens, replaced } = tokensOf(grant({ until: 0 }));
  tokens.retire();
  assert.equal((await tokens.fetch("/me")).status, 401);
  assert.deepEqual(lines(), ["GET /me"]);
  assert.equal(replaced.mock.callCount(), 0);
});

test("a last request outlives the page", () => {
  responses = { "DELETE /whip/1": [[200]] };
  tokensOf(grant()).tokens.endOnUnload("/whip/1", "DELETE");
  assert.equal(globalThis.fetch.mock.calls[0].arguments[1].keepalive, true);
  assert.equal(requests[0].token, "Bearer a1");
});

test("a server without guests says so", async () => {
  responses = { "POST /api/v1/guests": [[403]] };
  await assert.rejects(newGuest(), { code: "GUESTS_NOT_ALLOWED" });
});

test("a guest's grant may have no refresh token", () => {
  mock.timers.enable({ apis: ["Date"], now: 1_000 });
  const { refresh_token, until } = grantFrom({ access_token: "a", expires_in: 60, user: GUEST });
  mock.timers.reset();
  assert.deepEqual([refresh_token, until], [null, 61_000]);
});
