/** The microphone: asked for once, muted without letting go of it. */

import { AppError, microphoneError } from "../errors.js";

const WANTED = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/** A microphone that may be missing; `gone()` is called when it is taken away. */
export class Microphone {
  #track = null;
  #muted = false;
  #gone;

  constructor(gone) {
    this.#gone = gone;
  }

  /** The live track, or null. */
  get track() {
    return this.#track;
  }

  /** "on", "muted" or "none". */
  get state() {
    if (!this.#track) return "none";
    return this.#muted ? "muted" : "on";
  }

  /** Ask the person for the microphone; raises `AppError` when there is none to be had. */
  async open() {
    if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) throw new AppError("INSECURE_CONTEXT");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: WANTED });
    } catch (error) {
      throw microphoneError(error);
    }
    this.#track = stream.getAudioTracks()[0];
    this.#track.enabled = !this.#muted;
    this.#track.addEventListener("ended", () => {
      this.#track = null;
      this.#gone();
    });
  }

  /** Send silence, or sound again. */
  toggle() {
    this.#muted = !this.#muted;
    if (this.#track) this.#track.enabled = !this.#muted;
  }

  /** Let go of it; the browser's recording light goes out. */
  close() {
    this.#track?.stop();
    this.#track = null;
    this.#muted = false;
  }
}
