/** The shared screen: chosen, shown live, and as the assistant last saw it, with what it points at. */

import { AppError } from "../errors.js";
import { drawPointer, describePosition } from "../ui/pointer-overlay.js";

// Text stays readable at a few frames per second; the server looks at one per second at most.
const WANTED = { frameRate: { ideal: 2, max: 5 }, width: { max: 3840 }, height: { max: 2160 } };
const STALE_FOR = 15_000; // ms a pointer into a picture that has changed stays, dashed

const REASONS = {
  first: "the first picture of it",
  changed: "sent because the screen changed",
  turn: "sent with what you asked",
};

/** Sharing and its two pictures. `ask(path)` fetches as the session's owner; `ended()` is called when sharing stops from outside. */
export class ScreenShare {
  #view; // { section, video, live, canvas, overlay, age, reason, hint, seen, empty }
  #ask;
  #ended;
  #stream = null;
  #session = null;
  #seen = null; // { frame, at, reason }
  #wanted = null; // the event to fetch a picture for, newest only
  #fetching = false;
  #canFetch = true;
  #pointer = null;
  #stale = 0;

  constructor(view, ask, ended) {
    this.#view = view;
    this.#ask = ask;
    this.#ended = ended;
    view.video.addEventListener("resize", () => fit(view.video.parentElement, view.video.videoWidth, view.video.videoHeight));
    setInterval(() => this.#tick(), 500);
  }

  /** Whether this browser can share at all. */
  static get isPossible() {
    return Boolean(globalThis.isSecureContext && navigator.mediaDevices?.getDisplayMedia);
  }

  /** The track being shared, or null. */
  get track() {
    return this.#stream?.getVideoTracks()[0] ?? null;
  }

  /** Let the person choose what to share: the track, or null when they changed their mind. Raises `AppError`. */
  async share() {
    this.#hint("");
    if (!globalThis.isSecureContext) throw new AppError("INSECURE_CONTEXT");
    if (!ScreenShare.isPossible) throw new AppError("SHARE_UNSUPPORTED");
    let stream;
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: WANTED, audio: false, surfaceSwitching: "include" });
    } catch (error) {
      if (error.name !== "NotAllowedError") throw new AppError("SHARE_FAILED");
      if (/by system/i.test(error.message)) throw new AppError("SHARE_FORBIDDEN");
      this.#hint("Nothing is shared. Press “Share screen” whenever you like.");
      return null;
    }
    this.#stream = stream;
    this.#canFetch = true;
    const { track } = this;
    track.contentHint = "text";
    track.addEventListener("ended", () => this.track === track && this.#ended());
    this.#view.video.srcObject = stream;
    this.#view.video.play().catch(() => {}); // a muted video may always play; a stopped one says AbortError
    this.#view.section.dataset.sharing = "";
    return track;
  }

  /** Stop sharing and forget what was seen. */
  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#seen = null;
    this.#wanted = null;
    this.#view.video.srcObject = null;
    delete this.#view.section.dataset.sharing;
    delete this.#view.section.dataset.seen;
    this.#point(null);
  }

  /** Frames belong to this session from now on. */
  belongTo(session) {
    this.#session = session;
    this.#canFetch = true;
  }

  /** The assistant was given a frame. */
  saw({ frame, age_ms: age, reason }) {
    if (!this.#stream) return; // late news of a screen that is no longer shared
    const at = performance.now() - age;
    if (this.#pointer && reason === "changed" && frame > this.#pointer.frame) this.#outdate();
    this.#wanted = { frame, at, reason };
    if (!this.#fetching) this.#fetchNewest();
  }

  /** The assistant points at a box of a frame. */
  point(pointer) {
    if (this.#stream) this.#point(pointer);
  }

  async #fetchNewest() {
    this.#fetching = true;
    while (this.#wanted) {
      const wanted = this.#wanted;
      this.#wanted = null;
      const shown = (await this.#fetchPicture(wanted)) ?? this.#snapshot(wanted);
      if (this.#stream) this.#show(shown);
    }
    this.#fetching = false;
  }

  async #fetchPicture(wanted) {
    if (!this.#canFetch) return null;
    try {
      const response = await this.#ask(`/api/v1/sessions/${encodeURIComponent(this.#session)}/frame`);
      if (!response.ok) {
        this.#canFetch = response.status !== 404;
        return null;
      }
      const frame = Number.parseInt(response.headers.get("X-Frame") ?? "", 10) || wanted.frame;
      return { ...wanted, frame, picture: await createImageBitmap(await response.blob()) };
    } catch {
      return null; // no picture is no fault: the preview's own stands in
    }
  }

  #snapshot(wanted) {
    return { ...wanted, picture: this.#view.video, own: true };
  }

  #show({ frame, at, reason, picture, own = false }) {
    const width = picture.videoWidth ?? picture.width;
    const height = picture.videoHeight ?? picture.height;
    const { canvas, section } = this.#view;
    if (width > 0 && height > 0) {
      Object.assign(canvas, { width, height });
      canvas.getContext("2d").drawImage(picture, 0, 0);
      fit(canvas.parentElement, width, height);
    }
    canvas.ariaLabel = `The last picture of your screen that the assistant saw, number ${frame}`;
    this.#seen = { frame, at };
    this.#view.reason.textContent = `Picture ${frame}, ${REASONS[reason] ?? reason}${own ? " (as this browser shows it)" : ""}`;
    section.dataset.seen = frame;
    this.#tick();
  }

  #point(pointer) {
    clearTimeout(this.#stale);
    this.#pointer = pointer;
    this.#drawPointer(false);
    this.#view.pointed.textContent = pointer ? `Pointing at ${pointer.label}, ${describePosition(pointer.box)}.` : "";
  }

  #outdate() {
    clearTimeout(this.#stale);
    this.#drawPointer(true);
    this.#stale = setTimeout(() => this.#point(null), STALE_FOR);
  }

  #drawPointer(stale) {
    drawPointer(this.#view.overlay, this.#pointer, { testid: "pointer", stale });
    drawPointer(this.#view.live, this.#pointer, { testid: "pointer-live", stale });
  }

  #tick() {
    if (this.#seen) this.#view.age.textContent = formatAge(performance.now() - this.#seen.at);
  }

  #hint(text) {
    this.#view.hint.textContent = text;
  }
}

/** How old a picture is, in words. */
export function formatAge(milliseconds) {
  const seconds = Math.floor(Math.max(0, milliseconds) / 1000);
  if (seconds < 1) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s ago`;
}

function fit(frame, width, height) {
  if (width > 0 && height > 0) frame.style.setProperty("--ratio", `${width / height}`);
}
