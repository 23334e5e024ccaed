import assert from "node:assert/strict";
import { test } from "node:test";

import { FirstWords } from "../static/media/first-words.js";

class FakeRecorder extends EventTarget {
  state = "inactive";

  start() {
    this.state = "recording";
  }

  pause() {
    this.state = "paused";
  }

  resume() {
    this.state = "recording";
  }

  stop() {
    this.state = "inactive";
    queueMicrotask(() => {
      this.dispatchEvent(Object.assign(new Event("dataavailable"), { data: new Blob(["words"]) }));
      this.dispatchEvent(new Event("stop"));
    });
  }
}

test("only what is heard is recorded", async () => {
  const recorder = new FakeRecorder();
  const firstWords = new FirstWords(recorder);
  const states = [false, true, true, false, true].map((isHeard) => {
    firstWords.setHeard(isHeard);
    return recorder.state;
  });
  assert.deepEqual(states, ["inactive", "recording", "recording", "paused", "recording"]);
  assert.equal(await (await firstWords.finish()).text(), "words");
});

test("nothing is recorded after the end", async () => {
  const recorder = new FakeRecorder();
  const firstWords = new FirstWords(recorder);
  firstWords.setHeard(true);
  await firstWords.finish();
  firstWords.setHeard(true);
  assert.equal(recorder.state, "inactive");
});

test("a microphone that was never heard gives an empty recording", async () => {
  const recording = await new FirstWords(new FakeRecorder()).finish();
  assert.equal(recording.size, 0);
  assert.equal(recording.type, "audio/webm;codecs=opus");
});

test("a browser without a fitting recorder has no first words", () => {
  assert.equal(FirstWords.of({}), null);
  globalThis.MediaRecorder = { isTypeSupported: () => false };
  assert.equal(FirstWords.of({}), null);
  delete globalThis.MediaRecorder;
});
