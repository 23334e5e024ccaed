/** One conversation: started, rejoined by itself when the line is lost, ended politely. */

import { dispatch, parseEvent } from "./server-events.js";
import { AppError } from "../errors.js";
import { WhipConnection } from "./whip-connection.js";

const GRACE = 15_000; // ms the server keeps a conversation whose last peer is gone
const BACKOFF = [0, 500, 1_000, 2_000, 4_000]; // ms before each try
const GOODBYE = 1_000; // ms for the server to say session_ended
const PROBE = 4_000; // ms for a pong after the machine woke up

/** A conversation under one label, over as many lines as the network makes necessary. */
export class Conversation {
  #identity;
  #pass = null; // whoever this began as, even when somebody else logs in meanwhile
  #tracks = { microphone: null, screen: null };
  #handlers;
  #notify;
  #label = newLabel();
  #line = null;
  #iceServers = [];
  #over = false;
  #released = null; // the location that was given back last
  #lastError = null;
  #goodbye = () => {};
  #probe = 0;

  /**
   * `handlers` take the server's events by name. `notify` is `{ voice(stream), connected(), lost(), over(error) }`:
   * `over` comes exactly once after a successful start, with null when nothing went wrong.
   */
  constructor(identity, handlers, notify) {
    this.#identity = identity;
    this.#handlers = handlers;
    this.#notify = notify;
  }

  /** Learn in whose name this will be, or raise `AppError`. */
  async enter() {
    this.#pass = await this.#identity.pass();
  }

  /** Join, or raise `AppError`. */
  async start(microphone) {
    this.#tracks.microphone = microphone;
    try {
      await this.#join();
    } catch (error) {
      this.#over = true;
      await this.#release(this.#line);
      this.#drop();
      throw error;
    }
  }

  /** Say one command; false when it cannot be said now. */
  send(command) {
    return this.#line?.send(command) ?? false;
  }

  /** Send this microphone track, now and after rejoining. */
  async setMicrophone(track) {
    this.#tracks.microphone = track;
    await this.#line?.setMicrophone(track);
  }

  /** Send this screen track, now and after rejoining; null tells the server that sharing is over. */
  async setScreen(track) {
    const wasShared = this.#tracks.screen !== null;
    this.#tracks.screen = track;
    await this.#line?.setScreen(track);
    if (wasShared && track === null) this.send({ action: "screen_share_end" });
  }

  /** `fetch` as the one who holds this conversation. */
  fetch(path) {
    return this.#pass.fetch(path);
  }

  /** Ask whether the line still lives, as after a sleep of the machine; a dead one is replaced. */
  probe() {
    if (this.#over || this.#probe || !this.send({ action: "ping", t: Date.now() })) return;
    this.#probe = setTimeout(() => this.#lose(this.#line), PROBE);
  }

  /** End politely: say so and hear the goodbye; a server that says none is given its connection back. */
  async end() {
    if (this.#over) return;
    this.#over = true;
    const answered = this.send({ action: "end_session" }) && (await this.#farewell());
    if (!answered) await this.#release(this.#line);
    this.#drop();
    this.#notify.over(null);
  }

  /** The page is going away: give the connection back without waiting. */
  abandon() {
    if (this.#over || !this.#line?.location) return;
    this.send({ action: "end_session" });
    this.#pass.endOnUnload(this.#line.location, "DELETE");
  }

  async #join() {
    const line = new WhipConnection({
      tracks: this.#tracks,
      iceServers: this.#iceServers,
      heard: (text) => this.#hear(text),
      voice: (stream) => this.#notify.voice(stream),
      lost: () => this.#lose(line),
    });
    this.#line = line;
    try {
      this.#iceServers = await line.open(this.#pass, this.#label);
    } catch (error) {
      line.close();
      // End was pressed while the server was still accepting: what it made is given back.
      if (this.#over) await this.#release(line);
      throw error instanceof AppError ? error : new AppError("SERVER_REFUSED");
    }
    if (this.#over) return;
    this.#notify.connected();
  }

  #hear(text) {
    clearTimeout(this.#probe);
    this.#probe = 0;
    const event = parseEvent(text);
    if (!event) return;
    dispatch(event, this.#handlers);
    if (event.action === "error" && event.fatal) this.#lastError = new AppError(event.code, { message: event.message });
    if (event.action === "session_ended") this.#close(event.reason);
  }

  #close(reason) {
    this.#goodbye(true);
    if (this.#over) return;
    this.#finish(reason === "client" ? null : (this.#lastError ?? new AppError(`ENDED_${reason.toUpperCase()}`)));
  }

  #lose(line) {
    clearTimeout(this.#probe);
    this.#probe = 0;
    if (this.#over || line !== this.#line) return;
    line.close();
    if (this.#lastError) this.#finish(this.#lastError);
    else this.#rejoin();
  }

  async #rejoin() {
    this.#notify.lost();
    const deadline = performance.now() + GRACE;
    for (let attempt = 0; ; attempt += 1) {
      await pause(BACKOFF[Math.min(attempt, BACKOFF.length - 1)]);
      if (this.#over) return;
      try {
        return await this.#join();
      } catch (error) {
        if (this.#over) return;
        if (!error.passing) return this.#finish(error);
        if (performance.now() >= deadline) return this.#finish(final(error));
      }
    }
  }

  #finish(error) {
    this.#over = true;
    this.#drop();
    this.#notify.over(error);
  }

  #drop() {
    this.#line?.close();
    this.#line = null;
  }

  #farewell() {
    return new Promise((resolve) => {
      this.#goodbye = resolve;
      setTimeout(() => resolve(false), GOODBYE);
    });
  }

  async #release(line) {
    const location = line?.location;
    if (!location || location === this.#released) return;
    this.#released = location;
    // The server may have ended the conversation already, or be gone: either way nothing is left to do.
    await this.#pass.fetch(location, { method: "DELETE" }).catch(() => {});
  }
}

function final(error) {
  if (error.code === "ENDED_SHUTDOWN") return error;
  return new AppError(error.code === "SERVER_UNREACHABLE" ? "SERVER_GONE" : "CONNECTION_LOST");
}

function newLabel() {
  // crypto.randomUUID is missing on plain http, where typing still works.
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
