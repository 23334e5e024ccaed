// @ts-check
/** Everything that can go wrong, as one sentence and a remedy. */

/** @typedef {{ field: string, sentence: string }} FieldError */

/**
 * @typedef {object} ErrorDetails
 * @property {string} [message] the server's own words
 * @property {number | null} [retryAfter] seconds the server asks to wait
 * @property {boolean} [isTransient] trying the same again soon may help
 * @property {FieldError[]} [fields] the fields of a form that are wrong
 */

/** A failure to show to a person, with a code of the table below. */
export class AppError extends Error {
  /**
   * @param {string} code
   * @param {ErrorDetails} [details]
   */
  constructor(code, { message = "", retryAfter = null, isTransient = false, fields = [] } = {}) {
    super(message || code);
    this.code = code;
    this.serverMessage = message;
    this.retryAfter = retryAfter;
    this.isTransient = isTransient;
    this.fields = fields;
  }
}

/** @type {Record<string, [problem: string, remedy: string]>} */
const SENTENCES = {
  // The browser and its devices
  MIC_DENIED: [
    "The microphone is blocked for this page.",
    "You can type meanwhile. To talk, open the settings beside the address, allow the microphone, then press “Try the microphone again”.",
  ],
  MIC_MISSING: [
    "No microphone was found.",
    "You can type meanwhile. Plug one in, then press “Try the microphone again”.",
  ],
  MIC_BUSY: [
    "The microphone could not be opened; another program may be using it.",
    "You can type meanwhile. Close the other program, then press “Try the microphone again”.",
  ],
  MIC_GONE: [
    "The microphone was disconnected or taken away from this page.",
    "You can type meanwhile. Plug it in or allow it, then press “Try the microphone again”.",
  ],
  INSECURE_CONTEXT: [
    "Browsers give microphone and screen only to secure pages, and this one came over plain http from another machine.",
    "You can type meanwhile. To talk, open the page by https, or on the server itself as http://localhost.",
  ],
  BROWSER_TOO_OLD: [
    "This browser has no WebRTC, which carries the conversation.",
    "Open the page in a current Chrome, Edge, Firefox or Safari.",
  ],
  SHARE_UNSUPPORTED: [
    "This browser cannot share a screen; browsers on phones and most tablets cannot.",
    "Talk and type as usual, and open the page on a computer to show a screen.",
  ],
  SHARE_FORBIDDEN: [
    "Your computer does not let this browser record the screen.",
    "Allow screen recording for the browser in the system’s privacy settings, then press “Share screen” again.",
  ],
  SHARE_FAILED: ["The screen could not be captured.", "Press “Share screen” again and choose another window or tab."],
  SOUND_BLOCKED: ["The browser holds back the assistant’s voice.", "Press “Turn on sound”."],

  // Reaching the server
  GUESTS_FULL: [
    "The server has no room for more guests.",
    "Log in if you have an account, or wait a moment, then try again.",
  ],
  ADDRESS_FULL: [
    "Too many conversations are open at your internet address, perhaps by other people there.",
    "End one in another tab or on another device, or wait until one ends, then try again.",
  ],
  SERVER_FULL: ["The server is full: every conversation it has room for is taken.", "Wait a moment, then try again."],
  TOO_MANY_REQUESTS: ["That was too many tries in a short time.", "Wait a moment, then try again."],
  GUESTS_NOT_ALLOWED: [
    "This server does not let you in as a guest.",
    "Log in; without an account, ask whoever runs it for one, or to allow guests (ALLOW_GUESTS=true).",
  ],
  SERVER_UNREACHABLE: [
    "The server does not answer.",
    "Check the network and that the server is running, then try again.",
  ],
  SERVER_REFUSED: ["The server did not accept the conversation.", "Try again; if it stays so, look into the server’s log."],
  NO_MEDIA_PATH: [
    "The server answers, but sound cannot reach it: no way through for UDP was found.",
    "Try another network, or ask whoever runs the server to allow UDP in or to provide a TURN server.",
  ],
  CONNECTION_LOST: [
    "The connection was lost and could not be made again in time.",
    "What was said is kept below. Check the network, then press “Start again”.",
  ],
  SERVER_GONE: [
    "The server went away and did not come back.",
    "What was said is kept below. When it runs again, press “Start again”.",
  ],

  // Accounts, settings and history
  LOGIN_EXPIRED: ["Your login has expired.", "Log in again to go on where you were."],
  INVALID_CREDENTIALS: ["The name or the password is wrong.", "Check both and try again."],
  WRONG_PASSWORD: ["This is not your password.", "Enter the one you log in with now."],
  USERNAME_TAKEN: ["Somebody here has this username already.", "Choose another, or log in if it is yours."],
  EMAIL_TAKEN: ["There is an account with this email already.", "Use another, or log in if it is yours."],
  REGISTRATION_CLOSED: ["This server takes no registrations.", "Ask whoever runs it for an account."],
  INVALID_FIELDS: ["Something is not filled in the way the server takes it.", "Correct the marked fields and try again."],
  BUSY: ["Too many people are logging in at once.", "Wait a moment, then try again."],
  STORE_UNAVAILABLE: ["The server cannot reach its database.", "Nothing was changed. Wait a moment, then try again."],
  HISTORY_UNREADABLE: ["Earlier conversations cannot be reached at the moment.", "Live ones go on. Wait a moment, then try again."],
  HISTORY_GONE: ["This conversation is not kept any more.", "It may have been deleted on another page, or grown too old."],
  PAGE_FAILED: ["This page made a mistake.", "Reload it and try again."],
  SERVER_FAILED: ["The server made a mistake.", "Try again; if it stays so, whoever runs it finds the reason in its log."],

  // Refusals of requests that this page should not have made
  INVALID_JSON: ["The server did not understand what this page sent.", "Reload the page; it may be out of date."],
  UNSUPPORTED_MEDIA_TYPE: ["The server did not understand what this page sent.", "Reload the page; it may be out of date."],
  NOT_FOUND: ["The server does not have what this page asked for.", "Reload the page; it may be out of date."],
  METHOD_NOT_ALLOWED: ["The server does not do what this page asked for.", "Reload the page; it may be out of date."],
  REQUEST_TIMEOUT: ["The server waited too long for this page’s request.", "Check the network, then try again."],
  INVALID_OFFER: ["The server cannot read this browser’s offer.", "Try another browser."],
  INVALID_CANDIDATE: ["The server cannot read an address this browser offers.", "Try another browser."],
  PRECONDITION_FAILED: ["The connection has changed meanwhile.", "Press “Start again”."],
  ICE_RESTART: ["The connection has to be made anew.", "Press “Start again”."],
  SHUTTING_DOWN: ["The server is being stopped or restarted.", "Give it a moment, then try again."],

  // Ends of a conversation
  ENDED_IDLE: ["The conversation ended because nothing happened for a while.", "Press “Start again” to go on."],
  ENDED_LIMIT: ["The conversation reached the longest time this server allows.", "Press “Start again” for a new one."],
  ENDED_SHUTDOWN: ["The server is being stopped or restarted.", "Give it a moment, then press “Start again”."],
  ENDED_ERROR: ["The conversation ended because something went wrong.", "Press “Start again”."],

  // Reports during a conversation
  INVALID_MESSAGE: ["The server did not understand something this page sent.", "Reload the page; it may be out of date."],
  UNKNOWN_ACTION: ["The server does not know something this page asked for.", "Reload the page; it may be out of date."],
  SESSION_NOT_FOUND: ["The server no longer knows this conversation.", "Press “End”, then start again."],
  SESSION_EXISTS: ["This conversation is already open elsewhere.", "Close the other page, or start a new one here."],
  RATE_LIMITED: ["That was too many tries in a short time.", "Wait a moment, then try again."],
  BODY_UNREADABLE: ["The server did not receive all that was sent.", "Try again."],
  GUIDE_NOT_FOUND: ["There is no such guide.", "Choose one of the guides in the list."],
  TOO_MANY_GUIDES: ["You have as many guides as one account may keep.", "Delete one, then save this one again."],
  INVALID_RECORDING: ["What you said before the connection could not be read.", "Say it again."],
  RECORDING_NOT_AWAITED: ["What you said before the connection came too late.", "Say it again."],
  PAYLOAD_TOO_LARGE: ["That was too much to send at once.", "Send a shorter text or share a smaller window."],
  UNSUPPORTED_FORMAT: ["The server cannot read a format this browser sends.", "Try another browser."],
  FRAME_PROCESSING_ERROR: [
    "One picture of your screen could not be read.",
    "Nothing needs doing: the next one is tried by itself. If it stays so, share again.",
  ],
  SCREEN_NOT_VISIBLE: [
    "Your shared screen cannot be seen: it is black or paused.",
    "Bring the shared window to the front, or share another one.",
  ],
  HISTORY_UNAVAILABLE: ["What is said cannot be stored at the moment.", "The conversation goes on; only its record has gaps."],
  REDACTION_FAILED: ["A picture was held back because its private parts could not be hidden.", "Share again, or ask without it."],
  ENGINE_AWAY: ["The engine cannot be reached at the moment.", "What you say is kept, and asked as soon as it is back."],
  UTTERANCE_TOO_LONG: [
    "The assistant heard speech for so long without a pause that it ended the turn.",
    "Pause for a moment, then speak; with a television or radio in the room, mute the microphone and type.",
  ],
  ENGINE_CONFIG_REDUCED: ["The model cannot do everything that was asked for.", "The conversation goes on without it."],
  ENGINE_UNSUPPORTED_OP: ["The model cannot do that.", "Ask in another way."],
  STT_UNAVAILABLE: ["The server cannot understand speech at the moment.", "Type instead. Whoever runs the server finds the reason in its log."],
  STT_BUSY: ["Too many people are speaking to the server at once.", "Say it again in a moment, or type."],
  STT_UNREACHABLE: ["The server that understands speech cannot be reached.", "Type instead."],
  STT_TIMEOUT: ["Your words took too long to understand.", "Say it again, or type."],
  STT_AUTH_INVALID: ["The server that understands speech refused the key.", "Type instead. Whoever runs the server should check LOCAL_STT_KEY."],
  STT_MODEL_UNAVAILABLE: ["The model that understands speech is not there.", "Type instead. Whoever runs the server should check LOCAL_STT_MODEL."],
  STT_RATE_LIMITED: ["The server that understands speech takes no more for now.", "Wait a minute, or type."],
  STT_REFUSED: ["The server that understands speech did not take what you said.", "Say it again, or type."],
  STT_INTERNAL: ["Your words could not be understood because of a problem on the server.", "Say it again, or type."],
  STT_PROTOCOL: ["The server that understands speech sent something that is no text.", "Type instead. Whoever runs the server should check LOCAL_STT_URL."],
  LLM_UNREACHABLE: ["The language model cannot be reached.", "The local engine answers what it can; the model is tried again."],
  LLM_TIMEOUT: ["The language model takes too long to answer.", "The local engine answers what it can; the model is tried again."],
  LLM_PROTOCOL: ["The language model sent something that is no answer.", "Whoever runs the server should check LOCAL_LLM_URL."],
  LLM_CUT_OFF: ["The language model broke off in the middle of its answer.", "Ask again."],
  LLM_RATE_LIMITED: ["The language model takes no more questions for now.", "The local engine answers what it can; wait a minute."],
  LLM_TOOLS_REFUSED: ["The language model cannot call functions.", "It answers, but does not point at anything."],
  LLM_IMAGES_REFUSED: ["The language model takes no pictures.", "It is given the words on your screen instead."],
  LLM_AUTH_INVALID: ["The language model refused the server’s key.", "Whoever runs the server should check LOCAL_LLM_KEY."],
  LLM_MODEL_UNAVAILABLE: ["The language model is not installed where the server looks for it.", "Whoever runs the server should check LOCAL_LLM_MODEL."],
  LLM_REFUSED: ["The language model did not accept the question.", "Ask in another way."],
  LLM_INTERNAL: ["The language model had a problem.", "The local engine answers what it can; the model is tried again."],

  // Faults that lose one answer
  AUDIO_PROCESSING_ERROR: ["The sound could not be processed, so that answer is lost.", "Say it again, or type it."],
  ENGINE_NETWORK: ["The line to the engine broke, so that answer is lost.", "Ask again; it is being made anew."],
  ENGINE_INTERNAL: ["The engine failed at that answer.", "Ask again."],
  ENGINE_PROTOCOL: ["The engine answered in a way that cannot be understood.", "Ask again."],
  ENGINE_STALLED: ["The engine fell silent in the middle.", "Ask again."],
  ENGINE_QUOTA: ["The engine’s quota is used up for now.", "Wait a minute, then ask again; whoever runs the server can raise the quota."],
  ENGINE_CONTEXT_LIMIT: ["The conversation grew longer than the model can remember.", "Ask again; if it stays so, end and start anew."],
  ENGINE_CONTENT_BLOCKED: ["The engine declined to answer that.", "Ask in other words."],
  ENGINE_DOWN: ["The engine cannot be reached at the moment.", "Ask again shortly; it is being tried again."],
  ENGINE_VOICE_UNAVAILABLE: ["The engine’s voice does not work at the moment.", "Ask again; another voice answers meanwhile."],

  // Faults that end the conversation
  UNAUTHORIZED: ["The server no longer accepts this page’s pass.", "Press “Start again” to get a new one."],
  FORBIDDEN: ["The server does not allow this.", "Ask whoever runs it for access."],
  SESSION_LIMIT: ["You have as many conversations open as this server allows.", "End one elsewhere, then start again."],
  SLOW_CONSUMER: ["This page could not keep up with the server.", "Close other heavy tabs, then press “Start again”."],
  ENGINE_AUTH_INVALID: ["The engine refused the server’s key.", "Whoever runs the server has to set a valid GEMINI_API_KEY."],
  ENGINE_MODEL_UNAVAILABLE: ["The model is not available to this server.", "Whoever runs the server has to set another GEMINI_MODEL."],
  ENGINE_CONFIG_REJECTED: ["The engine refused the server’s settings.", "Whoever runs the server finds the reason in its log."],
  ENGINE_FAILED: ["The engine could not be brought back.", "Press “Start again” in a while."],
  INTERNAL_ERROR: ["The server made a mistake and ended this conversation.", "Press “Start again”; whoever runs it finds the reason in its log."],
};

/**
 * The input each field accepts, by the field's name in the API.
 * @type {Record<string, string>}
 */
const FIELDS = {
  username: "Use 3 to 32 letters, digits, dots, underscores or hyphens; begin with a letter or digit.",
  email: "Enter an email address, such as ada@example.org.",
  password: "Use 8 to 128 characters.",
  voice: "Enter a voice’s name, such as Kore: letters, digits, spaces, dots and hyphens.",
  language: "Enter a language tag, such as en, de or pt-BR.",
  model: "Enter a model’s name, such as gemini-3.8-live.",
  instructions: "Use at most 4,000 characters.",
  silence_ms: "Enter a whole number from 96 to 5000, or nothing.",
};

/**
 * The field a code is about.
 * @type {Record<string, string>}
 */
const FIELD_OF = {
  INVALID_CREDENTIALS: "password",
  WRONG_PASSWORD: "current_password",
  USERNAME_TAKEN: "username",
  EMAIL_TAKEN: "email",
};

/** The codes that have a sentence of their own. */
export const CODES = Object.keys(SENTENCES);

/**
 * The problem and its remedy for a code; an unknown code is shown in the server's words.
 * @param {string} code
 * @param {string} [serverMessage]
 */
export function sentenceFor(code, serverMessage = "") {
  const [problem, remedy] = SENTENCES[code] ?? [serverMessage || `Something went wrong (${code}).`, "Try again."];
  return { problem, remedy };
}

/**
 * The problem and its remedy in one text.
 * @param {AppError} error
 */
export function textFor({ code, serverMessage }) {
  const { problem, remedy } = sentenceFor(code, serverMessage);
  return `${problem} ${remedy}`;
}

/**
 * The thrown value as an error that can be shown; anything unexpected is a bug of this page and goes to the console.
 * @param {unknown} thrown
 */
export function toAppError(thrown) {
  if (thrown instanceof AppError) return thrown;
  console.error(thrown);
  return new AppError("PAGE_FAILED");
}

/**
 * The error for a refused WHIP request.
 * @param {Response} response
 */
export async function whipError(response) {
  const { code, message, details } = await errorBody(response);
  const retryAfter = retryAfterOf(response);
  switch (response.status) {
    case 401:
      return new AppError("UNAUTHORIZED", { message });
    case 403:
      return new AppError("FORBIDDEN", { message });
    case 409:
      return new AppError("SESSION_EXISTS", { message, isTransient: true });
    case 429:
      return new AppError(code === "SESSION_LIMIT" ? limitCode(details, code) : "TOO_MANY_REQUESTS", { message, retryAfter, isTransient: true });
    case 503:
      return new AppError(code === "SHUTTING_DOWN" ? "ENDED_SHUTDOWN" : limitCode(details, "SERVER_FULL"), { message, retryAfter, isTransient: true });
    default:
      return new AppError("SERVER_REFUSED", { message, isTransient: response.status >= 500 });
  }
}

/**
 * The error for a refused request to the REST API.
 * @param {Response} response
 */
export async function apiError(response) {
  const { code = "", message = "", details = {} } = await errorBody(response);
  const isKnown = Object.hasOwn(SENTENCES, code) && response.status !== 500;
  const fields = fieldErrors(code, details);
  return new AppError(isKnown ? code : "SERVER_FAILED", { message, retryAfter: retryAfterOf(response), fields });
}

/**
 * The input a field accepts; for a field this page does not know, the server's explanation.
 * @param {string} name
 * @param {string} [serverMessage]
 */
export function sentenceForField(name, serverMessage = "") {
  return FIELDS[name] ?? (serverMessage || "This cannot be taken as it is.");
}

/**
 * The name of a thrown value, such as NotAllowedError, or "" where it has none.
 * @param {unknown} thrown
 */
export function errorName(thrown) {
  const { name } = /** @type {{ name?: unknown }} */ (thrown ?? {});
  return typeof name === "string" ? name : "";
}

/**
 * The error for a failed getUserMedia.
 * @param {unknown} error
 */
export function microphoneError(error) {
  switch (errorName(error)) {
    case "NotAllowedError":
    case "SecurityError":
      return new AppError("MIC_DENIED");
    case "NotFoundError":
    case "OverconstrainedError":
      return new AppError("MIC_MISSING");
    default:
      return new AppError("MIC_BUSY");
  }
}

/**
 * The code of the limit on sessions that is reached.
 * @param {{ limit?: unknown } | undefined} details
 * @param {string} other the code of any other limit
 */
function limitCode(details, other) {
  switch (details?.limit) {
    case "address":
      return "ADDRESS_FULL";
    case "guests":
      return "GUESTS_FULL";
    default:
      return other;
  }
}

/**
 * @param {string} code
 * @param {{ fields?: unknown }} details
 * @returns {FieldError[]}
 */
function fieldErrors(code, details) {
  if (Object.hasOwn(FIELD_OF, code)) {
    const { problem, remedy } = sentenceFor(code);
    return [{ field: FIELD_OF[code], sentence: `${problem} ${remedy}` }];
  }
  const fields = Array.isArray(details?.fields) ? details.fields : [];
  return fields.map(({ field, message }) => ({ field, sentence: sentenceForField(field, message) }));
}

/**
 * @param {Response} response
 * @returns {Promise<{ code?: string, message?: string, details?: { fields?: unknown, limit?: unknown } }>}
 */
async function errorBody(response) {
  try {
    return (await response.json()).error ?? {};
  } catch {
    return {};
  }
}

/** @param {Response} response */
function retryAfterOf(response) {
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}
