// @ts-check
/** Level meters of both voices, from 0 to 1. */

const FLOOR = -60; // dBFS shown as silence
const CEILING = -12; // dBFS shown as full: speech peaks about here
const DECAY = 0.88; // per screen frame, so that the meter drops gently
const ANNOUNCE_INTERVAL = 250; // ms between values for assistive technology

/** @typedef {"microphone" | "voice"} MeterName */

/**
 * @typedef {object} Meter
 * @property {MediaStreamAudioSourceNode} source
 * @property {AnalyserNode} analyser
 * @property {Float32Array<ArrayBuffer>} samples
 * @property {number} shown
 */

/**
 * The level of samples in -1 to 1, as 0 (silence) to 1 (loud speech).
 * @param {Float32Array} samples
 */
export function loudness(samples) {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  const decibels = 10 * Math.log10(power / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (decibels - FLOOR) / (CEILING - FLOOR)));
}

/** Measures streams once per screen frame until it is closed. */
export class LevelMeter {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {Map<MeterName, Meter>} */
  #meters = new Map();
  #onLevel;
  #isRunning = false;
  #announcedAt = 0;

  /** @param {(name: MeterName, level: number, isAnnounced: boolean) => void} onLevel `isAnnounced` is true a few times a second */
  constructor(onLevel) {
    this.#onLevel = onLevel;
  }

  /**
   * Measure a stream under a name, instead of the one before; null measures nothing.
   * @param {MeterName} name
   * @param {MediaStream | null} stream
   */
  watch(name, stream) {
    this.#meters.get(name)?.source.disconnect();
    this.#meters.delete(name);
    this.#onLevel(name, 0, true);
    if (!stream) return;
    this.#context ??= new AudioContext();
    this.#context.resume();
    const analyser = new AnalyserNode(this.#context, { fftSize: 1024, smoothingTimeConstant: 0 });
    const source = this.#context.createMediaStreamSource(stream);
    source.connect(analyser);
    this.#meters.set(name, { source, analyser, samples: new Float32Array(analyser.fftSize), shown: 0 });
    if (!this.#isRunning) requestAnimationFrame((now) => this.#measure(now));
    this.#isRunning = true;
  }

  /** Stop measuring all streams. */
  close() {
    for (const name of [...this.#meters.keys()]) this.watch(name, null);
    this.#context?.close();
    this.#context = null;
  }

  /** @param {number} now ms, of the screen frame */
  #measure(now) {
    const isAnnounced = now - this.#announcedAt >= ANNOUNCE_INTERVAL;
    if (isAnnounced) this.#announcedAt = now;
    for (const [name, meter] of this.#meters) {
      meter.analyser.getFloatTimeDomainData(meter.samples);
      meter.shown = Math.max(loudness(meter.samples), meter.shown * DECAY);
      this.#onLevel(name, meter.shown, isAnnounced);
    }
    this.#isRunning = this.#meters.size > 0;
    if (this.#isRunning) requestAnimationFrame((next) => this.#measure(next));
  }
}
