// @ts-check
/** The microphone: opened once, muted without closing it. */

import { AppError, microphoneError } from "../errors.js";
import { FirstWords } from "./first-words.js";

const CONSTRAINTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/** A microphone that may be missing. */
export class Microphone {
  /** @type {MediaStreamTrack | null} */
  #track = null;
  #isMuted = false;
  #isPushToTalk = false;
  #isHeld = false;
  /** @type {FirstWords | null} */
  #firstWords = null;
  #onEnded;

  /** @param {() => void} onEnded called when the microphone is unplugged or its permission withdrawn */
  constructor(onEnded) {
    this.#onEnded = onEnded;
  }

  /** The live track, or null. */
  get track() {
    return this.#track;
  }

  /** @returns {"on" | "muted" | "waiting" | "none"} waiting for push to talk */
  get state() {
    if (!this.#track) return "none";
    if (this.#isMuted) return "muted";
    return this.#isPushToTalk && !this.#isHeld ? "waiting" : "on";
  }

  /** Ask the person for the microphone and return its track; raises `AppError` when none can be opened. */
  async open() {
    if (!globalThis.isSecureContext || !navigator.mediaDevices) throw new AppError("INSECURE_CONTEXT");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: CONSTRAINTS });
    } catch (error) {
      throw microphoneError(error);
    }
    const [track] = stream.getAudioTracks();
    track.addEventListener("ended", () => {
      this.#track = null;
      this.#firstWords = null;
      this.#onEnded();
    });
    this.#track = track;
    this.#apply();
    return track;
  }

  /** Record what is said from now on; null without a microphone, or where the browser cannot. */
  record() {
    this.#firstWords = this.#track && FirstWords.of(this.#track);
    this.#apply();
    return this.#firstWords;
  }

  /** Mute or unmute: a muted track sends silence. */
  toggleMute() {
    this.#isMuted = !this.#isMuted;
    this.#apply();
  }

  /**
   * Switch between push to talk and hands-free.
   * @param {boolean} isOn
   */
  setPushToTalk(isOn) {
    this.#isPushToTalk = isOn;
    this.#apply();
  }

  /**
   * With push to talk, send sound only while held.
   * @param {boolean} isHeld
   */
  hold(isHeld) {
    this.#isHeld = isHeld;
    this.#apply();
  }

  /** Close the device; the browser's recording indicator goes out. */
  close() {
    this.#track?.stop();
    this.#track = null;
    this.#firstWords = null;
    this.#isMuted = false;
  }

  #apply() {
    if (this.#track) this.#track.enabled = this.state === "on";
    this.#firstWords?.setHeard(this.state === "on");
  }
}
