import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { read, save } from "../static/auth/token-store.js";
import { disableStorage, installBrowser } from "./fake-browser.js";

const GRANT = { access_token: "a", refresh_token: null, until: 0, user: { id: "1", username: "ada", guest: false } };

beforeEach(installBrowser);

afterEach(() => save(null));

test("a saved grant is read again until it is removed", () => {
  assert.equal(read(), null);
  save(GRANT);
  assert.deepEqual(read(), GRANT);
  save(null);
  assert.equal(read(), null);
});

test("a stored value of another shape is ignored", () => {
  for (const value of ['{"access_token": "a"}', '{"access_token": 1, "user": {"id": "1"}}', "7"]) {
    localStorage.setItem("mediaserver.identity", value);
    assert.equal(read(), null, value);
  }
});

test("without storage a grant lives as long as the page", () => {
  disableStorage();
  save(GRANT);
  assert.deepEqual(read(), GRANT);
});
