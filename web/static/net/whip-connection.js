/** One WebRTC connection to the server: offered by WHIP (RFC 9725), lost at most once. */

import { AppError, whipError } from "../errors.js";

const GATHERING = 1_000; // ms; the server learns later candidates from the browser's own checks
const OPENING = 10_000; // ms from the answer to an open data channel
const HICCUP = 3_000; // ms a disconnected path may take to heal by itself

// A screen at 2 frames per second; the cap keeps a changing picture from crowding out the voice.
const SCREEN_ENCODING = { maxBitrate: 2_500_000, maxFramerate: 5 };

/** A peer connection with a microphone, a place kept for the screen, and the `events` channel. */
export class WhipConnection {
  #pc;
  #channel;
  #microphone;
  #screen;
  #hiccup = 0;
  #joined = false; // until then a failure is open()'s to raise
  #dead = false;
  #location = null;
  #heard;
  #lost;

  /** `tracks` is `{ microphone, screen }`, each or neither; `heard(text)`, `voice(stream)` and `lost()` are called back. */
  constructor({ tracks, iceServers = [], heard, voice, lost }) {
    this.#heard = heard;
    this.#lost = lost;
    this.#pc = new RTCPeerConnection({ iceServers });
    this.#microphone = this.#pc.addTransceiver(tracks.microphone ?? "audio", { direction: "sendrecv" });
    // WHIP has no renegotiation, so the screen's place is offered now and filled by replaceTrack.
    this.#screen = this.#pc.addTransceiver(tracks.screen ?? "video", { direction: "sendonly", sendEncodings: [SCREEN_ENCODING] });
    this.#channel = this.#pc.createDataChannel("events", { ordered: true });
    this.#pc.ontrack = ({ track, streams }) => voice(streams[0] ?? new MediaStream([track]));
    this.#pc.onconnectionstatechange = () => this.#watch();
    this.#channel.onmessage = ({ data }) => this.#heard(data);
    this.#channel.onclose = () => this.#fail();
  }

  /** Where the server keeps this connection, once it has accepted it. */
  get location() {
    return this.#location;
  }

  /** Offer, and wait until events flow; answers with the ICE servers to use next time. Raises `AppError`. */
  async open(pass, label) {
    await this.#pc.setLocalDescription();
    await gathered(this.#pc);
    const response = await pass.fetch(`/whip?session=${encodeURIComponent(label)}`, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: this.#pc.localDescription.sdp,
    });
    if (response.status !== 201) throw await whipError(response);
    this.#location = response.headers.get("Location");
    await this.#accept(await response.text());
    await opened(this.#channel, this.#pc);
    this.#joined = true;
    this.send({ action: "tracks", mids: { [this.#screen.mid]: "screen" } });
    return iceServersFrom(response.headers.get("Link") ?? "");
  }

  /** Say one command; false when the channel is not open. */
  send(command) {
    if (this.#channel.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(command));
    return true;
  }

  /** Send this microphone track from now on; null sends none. */
  setMicrophone(track) {
    return this.#microphone.sender.replaceTrack(track);
  }

  /** Send this screen track from now on; null sends none. */
  setScreen(track) {
    return this.#screen.sender.replaceTrack(track);
  }

  /** Close for good; `lost` is not called any more. */
  close() {
    this.#dead = true;
    clearTimeout(this.#hiccup);
    this.#pc.close();
  }

  async #accept(sdp) {
    try {
      await this.#pc.setRemoteDescription({ type: "answer", sdp });
    } catch {
      throw new AppError("SERVER_REFUSED");
    }
  }

  #watch() {
    clearTimeout(this.#hiccup);
    if (this.#pc.connectionState === "failed") this.#fail();
    if (this.#pc.connectionState === "disconnected") this.#hiccup = setTimeout(() => this.#fail(), HICCUP);
  }

  #fail() {
    if (this.#dead || !this.#joined) return;
    this.close();
    this.#lost();
  }
}

/** The usable servers of a `Link` header with rel="ice-server" (RFC 9725, section 4.6); browsers throw at others. */
export function iceServersFrom(link) {
  return link
    .split(/,\s*(?=<)/)
    .filter((part) => /;\s*rel="?ice-server"?/.test(part))
    .map((part) => ({
      urls: part.match(/<([^>]*)>/)?.[1],
      username: part.match(/;\s*username="([^"]*)"/)?.[1],
      credential: part.match(/;\s*credential="([^"]*)"/)?.[1],
    }))
    .filter((server) => /^stuns?:/.test(server.urls) || (/^turns?:/.test(server.urls) && server.username && server.credential));
}

function gathered(pc) {
  return new Promise((resolve) => {
    const check = () => pc.iceGatheringState === "complete" && resolve();
    pc.addEventListener("icegatheringstatechange", check);
    setTimeout(resolve, GATHERING);
    check();
  });
}

function opened(channel, pc) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new AppError("NO_MEDIA_PATH", { passing: true }));
    if (channel.readyState === "open") resolve();
    channel.addEventListener("open", () => resolve());
    channel.addEventListener("close", fail);
    pc.addEventListener("connectionstatechange", () => pc.connectionState === "failed" && fail());
    setTimeout(fail, OPENING);
  });
}
