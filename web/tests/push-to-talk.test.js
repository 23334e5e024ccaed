import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { bindPushToTalk } from "../static/ui/push-to-talk.js";
import { disableStorage, installBrowser } from "./fake-browser.js";

/** @type {any} */
let toggle;
/** @type {any[]} */
let calls;
let talking = true;

class Target extends EventTarget {
  /** @param {string} kind */
  constructor(kind = "button") {
    super();
    this.kind = kind;
  }

  /** @param {string} selector */
  closest(selector) {
    return selector.split(", ").includes(this.kind) ? this : null;
  }
}

beforeEach(() => {
  installBrowser();
  const page = Object.assign(new EventTarget(), { querySelector: () => null });
  Object.assign(globalThis, { document: page, window: new EventTarget() });
  toggle = Object.assign(new EventTarget(), { checked: false });
  calls = [];
  talking = true;
});

function bind() {
  bindPushToTalk({ toggle, isTalking: () => talking, onMode: (on) => calls.push(["mode", on]), onHold: (held) => calls.push(["hold", held]) });
}

/** @param {string} type @param {string} code @param {string} [kind] */
function press(type, code, kind) {
  const event = Object.assign(new Event(type, { cancelable: true }), { code });
  Object.defineProperty(event, "target", { value: new Target(kind) });
  globalThis.document.dispatchEvent(event);
  return event.defaultPrevented;
}

function switchTo(on) {
  toggle.checked = on;
  toggle.dispatchEvent(new Event("change"));
}

test("Space is held and released, once however often the key repeats", () => {
  bind();
  switchTo(true);
  assert.equal(press("keydown", "Space"), true);
  press("keydown", "Space");
  assert.equal(press("keyup", "Space"), true);
  assert.deepEqual(calls, [["mode", false], ["mode", true], ["hold", true], ["hold", false]]);
});

test("Space keeps its meaning in fields, outside of a conversation and hands-free", () => {
  bind();
  assert.equal(press("keydown", "Space"), false);
  switchTo(true);
  assert.equal(press("keydown", "Space", "input"), false);
  assert.equal(press("keydown", "KeyA"), false);
  talking = false;
  assert.equal(press("keydown", "Space"), false);
  assert.equal(press("keyup", "Space"), false);
});

test("leaving the window releases it, and so does switching to hands-free", () => {
  bind();
  switchTo(true);
  press("keydown", "Space");
  globalThis.window.dispatchEvent(new Event("blur"));
  press("keydown", "Space");
  switchTo(false);
  assert.deepEqual(calls.slice(2), [["hold", true], ["hold", false], ["hold", true], ["hold", false], ["mode", false]]);
});

test("the choice is remembered, and lives on without storage", () => {
  bind();
  switchTo(true);
  toggle = Object.assign(new EventTarget(), { checked: false });
  bind();
  assert.equal(toggle.checked, true);
  disableStorage();
  bind();
  assert.equal(toggle.checked, false);
  switchTo(true);
});
