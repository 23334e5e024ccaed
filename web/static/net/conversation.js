// @ts-check
/** One conversation: started, rejoined after a lost connection, ended politely. */

import { AppError, toAppError } from "../errors.js";
import { dispatch, parseEvent } from "./server-events.js";
import { WhipConnection } from "./whip-connection.js";

/** @import { Identity } from "../auth/identity.js" */
/** @import { AuthTokens } from "../auth/tokens.js" */
/** @import { FirstWords } from "../media/first-words.js" */
/** @import { EventHandlers } from "./server-events.js" */
/** @import { Tracks } from "./whip-connection.js" */

/**
 * @typedef {object} ConversationCallbacks
 * @property {(stream: MediaStream) => void} onVoice the assistant's audio
 * @property {() => void} onConnected
 * @property {() => void} onLost the connection is lost and being replaced
 * @property {(error: AppError | null) => void} onEnded called once after a start that succeeded; null when nothing went wrong
 */

const REJOIN_TIMEOUT = 15_000; // ms the server keeps a conversation whose last peer is gone
const BACKOFF = [0, 500, 1_000, 2_000, 4_000]; // ms before each try
const SESSION_ENDED_TIMEOUT = 1_000; // ms for the server to send session_ended
const PONG_TIMEOUT = 4_000; // ms for a pong after the machine woke up

/** A conversation under one label, over as many connections as the network makes necessary. */
export class Conversation {
  #identity;
  /** @type {AuthTokens | null} */
  #tokens = null; // those it began with, even when somebody else logs in meanwhile
  /** @type {Tracks} */
  #tracks = { microphone: null, screen: null };
  #handlers;
  #callbacks;
  #label = newLabel();
  /** @type {WhipConnection | null} */
  #connection = null;
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  #isOver = false;
  /** @type {string | null} */
  #released = null; // the WHIP resource that was deleted last
  /** @type {AppError | null} */
  #fatalError = null;
  /** @type {() => void} */
  #onSessionEnded = () => {};
  #pongTimer = 0;

  /**
   * @param {Identity} identity
   * @param {EventHandlers} handlers
   * @param {ConversationCallbacks} callbacks
   */
  constructor(identity, handlers, callbacks) {
    this.#identity = identity;
    this.#handlers = handlers;
    this.#callbacks = callbacks;
  }

  /** Get the tokens this conversation will use, or raise `AppError`. */
  async authenticate() {
    this.#tokens = await this.#identity.tokens();
  }

  /**
   * Join, or raise `AppError`.
   * @param {MediaStreamTrack | null} microphone
   * @param {FirstWords | null} firstWords the microphone until it is connected
   */
  async start(microphone, firstWords) {
    this.#tracks.microphone = microphone;
    try {
      await this.#join(firstWords);
    } catch (error) {
      this.#isOver = true;
      await this.#release(this.#connection);
      this.#closeConnection();
      throw error;
    }
  }

  /**
   * Send one command; false when it cannot be sent now.
   * @param {object} command
   */
  send(command) {
    return this.#connection?.send(command) ?? false;
  }

  /**
   * Send this microphone track, now and after rejoining.
   * @param {MediaStreamTrack | null} track
   */
  async setMicrophone(track) {
    this.#tracks.microphone = track;
    await this.#connection?.setMicrophone(track);
  }

  /**
   * Send this screen track, now and after rejoining; null ends the screen share.
   * @param {MediaStreamTrack | null} track
   */
  async setScreen(track) {
    const wasShared = this.#tracks.screen !== null;
    this.#tracks.screen = track;
    await this.#connection?.setScreen(track);
    if (wasShared && track === null) this.send({ action: "screen_share_end" });
  }

  /**
   * `fetch` with the tokens of this conversation.
   * @param {string} path
   */
  async fetch(path) {
    return this.#heldTokens.fetch(path);
  }

  /** Check that the connection still works, as after a sleep of the machine; a dead one is replaced. */
  probe() {
    if (this.#isOver || this.#pongTimer || !this.send({ action: "ping", t: Date.now() })) return;
    this.#pongTimer = setTimeout(() => this.#onConnectionLost(this.#connection), PONG_TIMEOUT);
  }

  /** End the session and wait for session_ended; without an answer the WHIP resource is deleted. */
  async end() {
    if (this.#isOver) return;
    this.#isOver = true;
    const isAnswered = this.send({ action: "end_session" }) && (await this.#sessionEnded());
    if (!isAnswered) await this.#release(this.#connection);
    this.#closeConnection();
    this.#callbacks.onEnded(null);
  }

  /** End the session while the page unloads, without waiting for answers. */
  endOnUnload() {
    const location = this.#connection?.location;
    if (this.#isOver || !location) return;
    this.send({ action: "end_session" });
    this.#heldTokens.endOnUnload(location, "DELETE");
  }

  get #heldTokens() {
    if (!this.#tokens) throw new Error("The conversation is not authenticated yet.");
    return this.#tokens;
  }

  /** @param {FirstWords | null} [firstWords] */
  async #join(firstWords = null) {
    const connection = new WhipConnection({
      tracks: this.#tracks,
      firstWords,
      iceServers: this.#iceServers,
      onMessage: (text) => this.#onMessage(text),
      onVoice: (stream) => this.#callbacks.onVoice(stream),
      onLost: () => this.#onConnectionLost(connection),
    });
    this.#connection = connection;
    try {
      this.#iceServers = await connection.open(this.#heldTokens, this.#label);
    } catch (error) {
      connection.close();
      // End was pressed while the server was still accepting: its new WHIP resource is deleted.
      if (this.#isOver) await this.#release(connection);
      throw error instanceof AppError ? error : new AppError("SERVER_REFUSED");
    }
    if (this.#isOver) return;
    this.#callbacks.onConnected();
  }

  /** @param {string} text */
  #onMessage(text) {
    this.#stopPongTimer();
    const event = parseEvent(text);
    if (!event) return;
    dispatch(event, this.#handlers);
    if (event.action === "error" && event.fatal) this.#fatalError = new AppError(event.code, { message: event.message });
    if (event.action === "session_ended") this.#closeFor(event.reason);
  }

  /** @param {string} reason */
  #closeFor(reason) {
    this.#onSessionEnded();
    if (this.#isOver) return;
    this.#finish(reason === "client" ? null : (this.#fatalError ?? new AppError(`ENDED_${reason.toUpperCase()}`)));
  }

  /** @param {WhipConnection | null} connection */
  #onConnectionLost(connection) {
    this.#stopPongTimer();
    if (this.#isOver || connection !== this.#connection) return;
    connection?.close();
    if (this.#fatalError) this.#finish(this.#fatalError);
    else this.#rejoin();
  }

  async #rejoin() {
    this.#callbacks.onLost();
    const deadline = performance.now() + REJOIN_TIMEOUT;
    for (let attempt = 0; ; attempt += 1) {
      await delay(BACKOFF[Math.min(attempt, BACKOFF.length - 1)]);
      if (this.#isOver) return;
      try {
        return await this.#join();
      } catch (thrown) {
        if (this.#isOver) return;
        const error = toAppError(thrown);
        if (!error.isTransient) return this.#finish(error);
        if (performance.now() >= deadline) return this.#finish(finalError(error));
      }
    }
  }

  /** @param {AppError | null} error */
  #finish(error) {
    this.#isOver = true;
    this.#closeConnection();
    this.#callbacks.onEnded(error);
  }

  #closeConnection() {
    this.#connection?.close();
    this.#connection = null;
  }

  #stopPongTimer() {
    clearTimeout(this.#pongTimer);
    this.#pongTimer = 0;
  }

  /** @returns {Promise<boolean>} false when session_ended did not come in time */
  #sessionEnded() {
    return new Promise((resolve) => {
      this.#onSessionEnded = () => resolve(true);
      setTimeout(() => resolve(false), SESSION_ENDED_TIMEOUT);
    });
  }

  /** @param {WhipConnection | null} connection */
  async #release(connection) {
    const location = connection?.location;
    if (!location || location === this.#released) return;
    this.#released = location;
    // The server may have ended the conversation already, or be gone: either way nothing is left to do.
    await this.#heldTokens.fetch(location, { method: "DELETE" }).catch(() => {});
  }
}

/** @param {AppError} error */
function finalError(error) {
  if (error.code === "ENDED_SHUTDOWN") return error;
  return new AppError(error.code === "SERVER_UNREACHABLE" ? "SERVER_GONE" : "CONNECTION_LOST");
}

function newLabel() {
  // crypto.randomUUID is missing on plain http, where typing still works.
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** @param {number} milliseconds */
function delay(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
