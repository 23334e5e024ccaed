// @ts-check
/** The shared screen: its live preview, the last picture the assistant got, and the pointer over both. */

import { uiElement } from "../dom.js";
import { AppError, errorName } from "../errors.js";
import { describePosition, drawPointer } from "../ui/pointer-overlay.js";

/** @import { Pointer, ScreenSeen } from "../net/server-events.js" */

/** @typedef {{ frame: number, at: number, reason: string }} SeenFrame `at` is in ms of performance.now() */

// Text stays readable at a few frames per second; the server takes one per second at most.
const CONSTRAINTS = { frameRate: { ideal: 2, max: 5 }, width: { max: 3840 }, height: { max: 2160 } };
const STALE_FOR = 15_000; // ms a pointer into a picture that has changed stays, dashed

/** @type {Record<string, string>} */
const REASONS = {
  first: "the first picture of it",
  changed: "sent because the screen changed",
  turn: "sent with what you asked",
};

/** Screen sharing and its two pictures. */
export class ScreenShare {
  #section = uiElement(document, "screen");
  #video = uiElement(this.#section, "preview", HTMLVideoElement);
  #previewOverlay = uiElement(this.#section, "preview-overlay");
  #canvas = uiElement(this.#section, "seen-picture", HTMLCanvasElement);
  #seenOverlay = uiElement(this.#section, "seen-overlay");
  #age = uiElement(this.#section, "seen-age");
  #reason = uiElement(this.#section, "seen-reason");
  #pointed = uiElement(this.#section, "pointed");
  #hint = uiElement(this.#section, "hint");
  #fetch;
  #onEnded;
  /** @type {MediaStream | null} */
  #stream = null;
  #sessionId = "";
  /** @type {number | null} */
  #seenAt = null; // ms of performance.now(), of the picture shown
  /** @type {SeenFrame | null} */
  #pending = null; // the newest frame to fetch a picture for
  #isFetching = false;
  #canFetch = true;
  /** @type {Pointer | null} */
  #pointer = null;
  #staleTimer = 0;

  /**
   * @param {(path: string) => Promise<Response>} fetch a request as the session's owner
   * @param {() => void} onEnded called when sharing stops from outside
   */
  constructor(fetch, onEnded) {
    this.#fetch = fetch;
    this.#onEnded = onEnded;
    this.#video.addEventListener("resize", () => setAspectRatio(this.#video, this.#video.videoWidth, this.#video.videoHeight));
    setInterval(() => this.#updateAge(), 500);
  }

  /** True where this browser can share a screen. */
  static get isPossible() {
    return Boolean(globalThis.isSecureContext && navigator.mediaDevices?.getDisplayMedia);
  }

  /** The track being shared, or null. */
  get track() {
    return this.#stream?.getVideoTracks()[0] ?? null;
  }

  /** Let the person choose a screen: its track, or null when the choice was cancelled. Raises `AppError`. */
  async share() {
    this.#hint.textContent = "";
    if (!globalThis.isSecureContext) throw new AppError("INSECURE_CONTEXT");
    if (!ScreenShare.isPossible) throw new AppError("SHARE_UNSUPPORTED");
    const stream = await this.#choose();
    if (!stream) return null;
    const [track] = stream.getVideoTracks();
    track.contentHint = "text";
    track.addEventListener("ended", () => this.track === track && this.#onEnded());
    this.#stream = stream;
    this.#canFetch = true;
    this.#video.srcObject = stream;
    this.#video.play().catch(() => {}); // a muted video may always play; a stopped one raises AbortError
    this.#section.dataset.sharing = "";
    return track;
  }

  /** Stop sharing and clear both pictures. */
  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#seenAt = null;
    this.#pending = null;
    this.#video.srcObject = null;
    delete this.#section.dataset.sharing;
    delete this.#section.dataset.seen;
    this.#setPointer(null);
  }

  /**
   * Fetch pictures from this session from now on.
   * @param {string} id
   */
  setSession(id) {
    this.#sessionId = id;
    this.#canFetch = true;
  }

  /**
   * Show the picture of a frame that the assistant got.
   * @param {ScreenSeen} event
   */
  showSeen({ frame, age_ms: age, reason }) {
    if (!this.#stream) return; // a late event of a screen that is no longer shared
    if (this.#pointer && reason === "changed" && frame > this.#pointer.frame) this.#markPointerStale();
    this.#pending = { frame, at: performance.now() - age, reason };
    if (!this.#isFetching) this.#showPending();
  }

  /**
   * Point at a box of a frame.
   * @param {Pointer} pointer
   */
  showPointer(pointer) {
    if (this.#stream) this.#setPointer(pointer);
  }

  /** @returns {Promise<MediaStream | null>} null when the person cancelled */
  async #choose() {
    // surfaceSwitching is not in TypeScript's DOM library yet.
    const options = /** @type {DisplayMediaStreamOptions} */ ({ video: CONSTRAINTS, audio: false, surfaceSwitching: "include" });
    try {
      return await navigator.mediaDevices.getDisplayMedia(options);
    } catch (error) {
      if (errorName(error) !== "NotAllowedError") throw new AppError("SHARE_FAILED");
      if (/by system/i.test(String(error))) throw new AppError("SHARE_FORBIDDEN");
      this.#hint.textContent = "Nothing is shared. Press “Share screen” whenever you like.";
      return null;
    }
  }

  async #showPending() {
    this.#isFetching = true;
    while (this.#pending) {
      const seen = this.#pending;
      this.#pending = null;
      const fetched = await this.#fetchPicture(seen);
      if (!this.#stream) continue;
      if (fetched) this.#showPicture({ ...seen, frame: fetched.frame }, fetched.picture, fetched.picture);
      else this.#showPicture(seen, this.#video, { width: this.#video.videoWidth, height: this.#video.videoHeight });
    }
    this.#isFetching = false;
  }

  /**
   * The server's newest picture, or null where it has none: then the preview's own stands in.
   * @param {SeenFrame} seen
   */
  async #fetchPicture({ frame }) {
    if (!this.#canFetch) return null;
    try {
      const response = await this.#fetch(`/api/v1/sessions/${encodeURIComponent(this.#sessionId)}/frame`);
      if (!response.ok) {
        this.#canFetch = response.status !== 404;
        return null;
      }
      const number = Number.parseInt(response.headers.get("X-Frame") ?? "", 10) || frame;
      return { frame: number, picture: await createImageBitmap(await response.blob()) };
    } catch {
      return null;
    }
  }

  /**
   * @param {SeenFrame} seen
   * @param {HTMLVideoElement | ImageBitmap} picture
   * @param {{ width: number, height: number }} size
   */
  #showPicture({ frame, at, reason }, picture, { width, height }) {
    if (width > 0 && height > 0) {
      Object.assign(this.#canvas, { width, height });
      this.#canvas.getContext("2d")?.drawImage(picture, 0, 0);
      setAspectRatio(this.#canvas, width, height);
    }
    this.#canvas.ariaLabel = `The last picture of your screen that the assistant saw, number ${frame}`;
    this.#seenAt = at;
    const source = picture === this.#video ? " (as this browser shows it)" : "";
    this.#reason.textContent = `Picture ${frame}, ${REASONS[reason] ?? reason}${source}`;
    this.#section.dataset.seen = String(frame);
    this.#updateAge();
  }

  /** @param {Pointer | null} pointer */
  #setPointer(pointer) {
    clearTimeout(this.#staleTimer);
    this.#pointer = pointer;
    this.#drawPointer(false);
    this.#pointed.textContent = pointer ? `Pointing at ${pointer.label}, ${describePosition(pointer.box)}.` : "";
  }

  #markPointerStale() {
    clearTimeout(this.#staleTimer);
    this.#drawPointer(true);
    this.#staleTimer = setTimeout(() => this.#setPointer(null), STALE_FOR);
  }

  /** @param {boolean} stale */
  #drawPointer(stale) {
    drawPointer(this.#seenOverlay, this.#pointer, { testid: "pointer", stale });
    drawPointer(this.#previewOverlay, this.#pointer, { testid: "pointer-live", stale });
  }

  #updateAge() {
    if (this.#seenAt !== null) this.#age.textContent = formatAge(performance.now() - this.#seenAt);
  }
}

/**
 * The age of a picture, such as "3 s ago".
 * @param {number} milliseconds
 */
export function formatAge(milliseconds) {
  const seconds = Math.floor(Math.max(0, milliseconds) / 1000);
  if (seconds < 1) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s ago`;
}

/**
 * Give the frame around a picture its aspect ratio.
 * @param {HTMLElement} picture
 * @param {number} width
 * @param {number} height
 */
function setAspectRatio(picture, width, height) {
  if (width > 0 && height > 0) picture.parentElement?.style.setProperty("--ratio", `${width / height}`);
}
