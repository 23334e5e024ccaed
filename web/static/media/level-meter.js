/** How loud the person and the assistant are, as meters from 0 to 1. */

const FLOOR = -60; // dBFS shown as silence
const CEILING = -12; // dBFS shown as full: speech peaks about here
const FALL = 0.88; // per frame, so that the meter drops gently
const TOLD_EVERY = 250; // ms between values for assistive technology

/** Loudness of samples in -1 to 1, as 0 (silence) to 1 (loud speech). */
export function loudness(samples) {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  const decibels = 10 * Math.log10(power / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (decibels - FLOOR) / (CEILING - FLOOR)));
}

/** Watches streams and paints their loudness until told to stop. */
export class LevelMeter {
  #context = null;
  #watched = new Map(); // name -> { source, analyser, samples, shown }
  #paint;
  #running = false;
  #told = 0;

  /** `paint(name, level, told)` is called once per screen frame; `told` is true a few times a second. */
  constructor(paint) {
    this.#paint = paint;
  }

  /** Watch a stream under a name, instead of what was watched under it; null watches nothing. */
  watch(name, stream) {
    this.#watched.get(name)?.source.disconnect();
    this.#watched.delete(name);
    this.#paint(name, 0, true);
    if (!stream) return;
    this.#context ??= new AudioContext();
    this.#context.resume();
    const analyser = new AnalyserNode(this.#context, { fftSize: 1024, smoothingTimeConstant: 0 });
    const source = this.#context.createMediaStreamSource(stream);
    source.connect(analyser);
    this.#watched.set(name, { source, analyser, samples: new Float32Array(analyser.fftSize), shown: 0 });
    if (!this.#running) requestAnimationFrame((now) => this.#step(now));
    this.#running = true;
  }

  /** Stop watching everything. */
  close() {
    for (const name of [...this.#watched.keys()]) this.watch(name, null);
    this.#context?.close();
    this.#context = null;
  }

  #step(now) {
    const told = now - this.#told >= TOLD_EVERY;
    if (told) this.#told = now;
    for (const [name, meter] of this.#watched) {
      meter.analyser.getFloatTimeDomainData(meter.samples);
      meter.shown = Math.max(loudness(meter.samples), meter.shown * FALL);
      this.#paint(name, meter.shown, told);
    }
    this.#running = this.#watched.size > 0;
    if (this.#running) requestAnimationFrame((next) => this.#step(next));
  }
}
