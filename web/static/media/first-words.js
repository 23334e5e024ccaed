// @ts-check
/** What is said into the microphone while the connection is being made. */

const TYPE = "audio/webm;codecs=opus"; // the type the server decodes
const BITS_PER_SECOND = 32_000;

/** A recording of one microphone track, which leaves out the time when nobody is to be heard. */
export class FirstWords {
  #recorder;
  /** @type {Blob[]} */
  #parts = [];
  /** @type {Promise<void>} */
  #stopped;
  #isStarted = false;
  #isFinished = false;

  /** @param {MediaRecorder} recorder */
  constructor(recorder) {
    this.#recorder = recorder;
    recorder.addEventListener("dataavailable", ({ data }) => this.#parts.push(data));
    this.#stopped = new Promise((resolve) => recorder.addEventListener("stop", () => resolve()));
  }

  /**
   * Prepare to record a track; null where the browser cannot.
   * @param {MediaStreamTrack} track
   */
  static of(track) {
    if (!globalThis.MediaRecorder?.isTypeSupported(TYPE)) return null;
    const options = { mimeType: TYPE, audioBitsPerSecond: BITS_PER_SECOND };
    return new FirstWords(new MediaRecorder(new MediaStream([track]), options));
  }

  /**
   * Record while the microphone is heard, and pause while it is muted.
   * @param {boolean} isHeard
   */
  setHeard(isHeard) {
    if (this.#isFinished) return;
    if (isHeard && !this.#isStarted) {
      this.#isStarted = true;
      this.#recorder.start();
    } else if (isHeard && this.#recorder.state === "paused") {
      this.#recorder.resume();
    } else if (!isHeard && this.#recorder.state === "recording") {
      this.#recorder.pause();
    }
  }

  /** End the recording and return it; it is empty if the microphone was never heard. */
  async finish() {
    this.#isFinished = true;
    if (this.#recorder.state !== "inactive") this.#recorder.stop(); // it may have stopped with its track
    if (this.#isStarted) await this.#stopped;
    return new Blob(this.#parts, { type: TYPE });
  }
}
