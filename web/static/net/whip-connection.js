// @ts-check
/** One WebRTC connection to the server: offered by WHIP (RFC 9725), reported as lost at most once. */

import { AppError, whipError } from "../errors.js";

/** @import { AuthTokens } from "../auth/tokens.js" */
/** @import { FirstWords } from "../media/first-words.js" */

/** @typedef {{ microphone: MediaStreamTrack | null, screen: MediaStreamTrack | null }} Tracks */

/**
 * @typedef {object} WhipOptions
 * @property {Tracks} tracks
 * @property {FirstWords | null} [firstWords] sent ahead of the live microphone
 * @property {RTCIceServer[]} [iceServers]
 * @property {(text: string) => void} onMessage
 * @property {(stream: MediaStream) => void} onVoice
 * @property {() => void} onLost
 */

const GATHERING_TIMEOUT = 1_000; // ms; the server learns later candidates from the browser's connectivity checks
const OPEN_TIMEOUT = 10_000; // ms from the answer to an open data channel
const DISCONNECTED_TIMEOUT = 3_000; // ms a disconnected path may take to recover

// A screen at 2 frames per second; the cap keeps a changing picture from crowding out the voice.
const SCREEN_ENCODING = { maxBitrate: 2_500_000, maxFramerate: 5 };

/** A peer connection with a microphone, a transceiver reserved for the screen, and the `events` channel. */
export class WhipConnection {
  #pc;
  #channel;
  #microphone;
  #screen;
  #track; // the microphone's
  #firstWords; // null once live audio has taken over
  #disconnectTimer = 0;
  #isOpen = false; // until then open() raises the failure
  #isClosed = false;
  /** @type {string | null} */
  #location = null;
  #onMessage;
  #onLost;

  /** @param {WhipOptions} options */
  constructor({ tracks, firstWords = null, iceServers = [], onMessage, onVoice, onLost }) {
    this.#onMessage = onMessage;
    this.#onLost = onLost;
    this.#pc = new RTCPeerConnection({ iceServers });
    this.#track = tracks.microphone;
    this.#firstWords = firstWords;
    // Live audio begins where the recording ends, so that no word comes twice.
    this.#microphone = this.#pc.addTransceiver((firstWords ? null : tracks.microphone) ?? "audio", { direction: "sendrecv" });
    // WHIP has no renegotiation, so the screen's transceiver is offered now and filled by replaceTrack.
    this.#screen = this.#pc.addTransceiver(tracks.screen ?? "video", { direction: "sendonly", sendEncodings: [SCREEN_ENCODING] });
    this.#channel = this.#pc.createDataChannel("events", { ordered: true });
    this.#pc.ontrack = ({ track, streams }) => onVoice(streams[0] ?? new MediaStream([track]));
    this.#pc.onconnectionstatechange = () => this.#onConnectionState();
    this.#channel.onmessage = ({ data }) => this.#onMessage(data);
    this.#channel.onclose = () => this.#fail();
  }

  /** The WHIP resource of this connection, once the server has accepted the offer. */
  get location() {
    return this.#location;
  }

  /**
   * Connect, and wait until events flow; returns the ICE servers to use next time. Raises `AppError`.
   * @param {AuthTokens} tokens
   * @param {string} label
   */
  async open(tokens, label) {
    await this.#pc.setLocalDescription();
    await gatheringDone(this.#pc);
    const query = `session=${encodeURIComponent(label)}${this.#firstWords ? "&preconnect=1" : ""}`;
    const response = await tokens.fetch(`/whip?${query}`, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: this.#pc.localDescription?.sdp,
    });
    if (response.status !== 201) throw await whipError(response);
    this.#location = response.headers.get("Location");
    await this.#acceptAnswer(await response.text());
    await channelOpen(this.#channel, this.#pc);
    this.#isOpen = true;
    // Refused or lost, the first words are missing, and the conversation goes on all the same.
    if (this.#firstWords) this.#switchToLive(tokens, this.#firstWords).catch(() => {});
    this.send({ action: "tracks", mids: { [String(this.#screen.mid)]: "screen" } });
    return iceServersFrom(response.headers.get("Link") ?? "");
  }

  /**
   * Send one command; false when the channel is not open.
   * @param {object} command
   */
  send(command) {
    if (this.#channel.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(command));
    return true;
  }

  /**
   * Send this microphone track from now on; null sends none.
   * @param {MediaStreamTrack | null} track
   */
  async setMicrophone(track) {
    this.#track = track;
    if (!this.#firstWords) await this.#microphone.sender.replaceTrack(track);
  }

  /**
   * Send this screen track from now on; null sends none.
   * @param {MediaStreamTrack | null} track
   */
  setScreen(track) {
    return this.#screen.sender.replaceTrack(track);
  }

  /** Close for good; `onLost` is not called any more. */
  close() {
    this.#isClosed = true;
    clearTimeout(this.#disconnectTimer);
    this.#pc.close();
  }

  /**
   * @param {AuthTokens} tokens
   * @param {FirstWords} firstWords
   */
  async #switchToLive(tokens, firstWords) {
    this.#firstWords = null;
    const live = this.#microphone.sender.replaceTrack(this.#track);
    const [body] = await Promise.all([firstWords.finish(), live]);
    await tokens.fetch(`${this.#location}/audio`, { method: "POST", body });
  }

  /** @param {string} sdp */
  async #acceptAnswer(sdp) {
    try {
      await this.#pc.setRemoteDescription({ type: "answer", sdp });
    } catch {
      throw new AppError("SERVER_REFUSED");
    }
  }

  #onConnectionState() {
    clearTimeout(this.#disconnectTimer);
    if (this.#pc.connectionState === "failed") this.#fail();
    if (this.#pc.connectionState === "disconnected") this.#disconnectTimer = setTimeout(() => this.#fail(), DISCONNECTED_TIMEOUT);
  }

  #fail() {
    if (this.#isClosed || !this.#isOpen) return;
    this.close();
    this.#onLost();
  }
}

/**
 * The usable servers of a `Link` header with rel="ice-server" (RFC 9725, section 4.6); browsers throw at others.
 * @param {string} link
 * @returns {RTCIceServer[]}
 */
export function iceServersFrom(link) {
  return link
    .split(/,\s*(?=<)/)
    .filter((part) => /;\s*rel="?ice-server"?/.test(part))
    .map((part) => ({
      urls: part.match(/<([^>]*)>/)?.[1] ?? "",
      username: part.match(/;\s*username="([^"]*)"/)?.[1],
      credential: part.match(/;\s*credential="([^"]*)"/)?.[1],
    }))
    .filter((server) => /^stuns?:/.test(server.urls) || (/^turns?:/.test(server.urls) && server.username && server.credential));
}

/**
 * @param {RTCPeerConnection} pc
 * @returns {Promise<void>}
 */
function gatheringDone(pc) {
  return new Promise((resolve) => {
    const check = () => pc.iceGatheringState === "complete" && resolve();
    pc.addEventListener("icegatheringstatechange", check);
    setTimeout(resolve, GATHERING_TIMEOUT);
    check();
  });
}

/**
 * @param {RTCDataChannel} channel
 * @param {RTCPeerConnection} pc
 * @returns {Promise<void>}
 */
function channelOpen(channel, pc) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new AppError("NO_MEDIA_PATH", { isTransient: true }));
    if (channel.readyState === "open") resolve();
    channel.addEventListener("open", () => resolve());
    channel.addEventListener("close", fail);
    pc.addEventListener("connectionstatechange", () => pc.connectionState === "failed" && fail());
    setTimeout(fail, OPEN_TIMEOUT);
  });
}
