import assert from "node:assert/strict";
import { test } from "node:test";

import { controlsFor, isAnnounced, stateLabel } from "../static/ui/controls.js";

const IDLE = { view: "idle", state: "idle", connected: false, microphone: "none", sharing: false, canShare: true };
const LIVE = { ...IDLE, view: "live", connected: true, microphone: "on" };

test("outside a conversation the view is the label", () => {
  assert.equal(stateLabel("idle", "idle", "on"), "Not started");
  assert.equal(stateLabel("ended", "speaking", "on"), "Ended");
});

test("a ready assistant is addressed as the microphone allows", () => {
  assert.equal(stateLabel("live", "idle", "on"), "Ready – just talk");
  assert.equal(stateLabel("live", "idle", "muted"), "Ready – you are muted, so type or unmute");
  assert.equal(stateLabel("live", "idle", "none"), "Ready – type your question");
  assert.equal(stateLabel("live", "idle", "waiting"), "Ready – hold Space while you talk");
});

test("a state of a newer server is shown as ready", () => {
  assert.equal(stateLabel("live", "from_the_future", "on"), "Ready – just talk");
});

test("audible states are not announced", () => {
  assert.equal(isAnnounced("live", "speaking"), false);
  assert.equal(isAnnounced("live", "reconnecting"), true);
  assert.equal(isAnnounced("ended", "speaking"), true);
});

test("before the start only Start can be pressed", () => {
  const { start, end, ...others } = controlsFor(IDLE);
  assert.equal(start.hidden, false);
  assert.equal(end.hidden, true);
  for (const [name, control] of Object.entries(others)) assert.equal(control.disabled, true, name);
});

test("only an answer can be interrupted", () => {
  assert.equal(controlsFor({ ...LIVE, state: "listening" }).interrupt.disabled, true);
  for (const state of ["thinking", "speaking"]) assert.equal(controlsFor({ ...LIVE, state }).interrupt.disabled, false);
});

test("without a microphone Mute says why it is off", () => {
  const { mute } = controlsFor({ ...LIVE, microphone: "none" });
  assert.equal(mute.disabled, true);
  assert.equal(mute.title, "No microphone is in use");
});

test("while the connection is replaced, sharing can stop and nothing can be sent", () => {
  const { share, send, text } = controlsFor({ ...LIVE, connected: false, sharing: true, state: "reconnecting" });
  assert.equal(share.disabled, false);
  assert.equal(share.label, "Stop sharing");
  assert.equal(send.disabled, true);
  assert.equal(text.disabled, false);
});

test("an ended conversation can be started again", () => {
  assert.equal(controlsFor({ ...IDLE, view: "ended" }).start.label, "Start again");
});
