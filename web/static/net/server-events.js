// @ts-check
/** The server's events on the data channel: parsed, checked and dispatched by name. */

/** @typedef {[ymin: number, xmin: number, ymax: number, xmax: number]} Box edges in thousandths of the picture */
/** @typedef {{ engine: string, model: string, language_model?: { model: string, host: string } | null, can_be_asked?: string[] }} Engine */
/** @typedef {{ text: string, state: string }} GuidanceStep */

/** @typedef {Engine & { action: "session_started", id: string, warnings?: string[] }} SessionStarted */
/** @typedef {{ action: "state", state: string }} StateChanged */
/** @typedef {{ action: "transcript", turn: number, role: "user" | "assistant", text: string, final: boolean, confidence?: number | null }} TranscriptText */
/** @typedef {{ action: "interrupted", turn: number, heard_text: string }} Interrupted */
/** @typedef {{ action: "resumed", turn: number }} Resumed */
/** @typedef {{ action: "text_response", turn: number, text: string }} TextResponse */
/**
 * @typedef {object} TurnComplete
 * @property {"turn_complete"} action
 * @property {number} turn
 * @property {{ speech_end_to_first_audio?: number }} [latency_ms]
 * @property {Record<string, number>} [usage]
 */
/** @typedef {{ action: "screen_seen", frame: number, age_ms: number, reason: string }} ScreenSeen */
/** @typedef {{ action: "guidance", title: string, steps: GuidanceStep[] }} Guidance */
/** @typedef {{ action: "pointer", frame: number, box: Box, label: string }} Pointer */
/** @typedef {{ action: "error", code: string, message?: string, fatal?: boolean, details?: { kept?: boolean } }} ServerError */
/** @typedef {{ action: "pong" }} Pong */
/** @typedef {{ action: "session_ended", reason: string }} SessionEnded */

/**
 * @typedef {SessionStarted | StateChanged | TranscriptText | Interrupted | Resumed | TextResponse | TurnComplete | ScreenSeen
 *   | Guidance | Pointer | ServerError | Pong | SessionEnded} ServerEvent
 */
/** @typedef {{ [E in ServerEvent as E["action"]]?: (event: E) => void }} EventHandlers */

/** @type {(value: unknown) => boolean} */
const isText = (value) => typeof value === "string";
/** @type {(value: unknown) => boolean} */
const isCount = (value) => Number.isFinite(value) && Number(value) >= 0;
/** @type {(value: unknown) => boolean} */
const areTexts = (value) => Array.isArray(value) && value.every(isText);
/** @type {(event: Record<string, unknown>) => boolean} */
const isTurn = (event) => Number.isInteger(event.turn);

/** @type {Record<ServerEvent["action"], (event: Record<string, any>) => boolean>} */
const SHAPES = {
  session_started: (event) =>
    isText(event.id) && isText(event.engine) && isText(event.model) && areTexts(event.warnings ?? []) && isOwnModel(event.language_model),
  state: (event) => isText(event.state),
  transcript: (event) => isTurn(event) && ["user", "assistant"].includes(event.role) && isText(event.text),
  interrupted: (event) => isTurn(event) && isText(event.heard_text),
  resumed: (event) => isTurn(event),
  text_response: (event) => isTurn(event) && isText(event.text),
  turn_complete: (event) => isTurn(event),
  screen_seen: (event) => Number.isInteger(event.frame) && isCount(event.age_ms),
  guidance: (event) => isText(event.title) && Array.isArray(event.steps),
  pointer: (event) => Number.isInteger(event.frame) && isBox(event.box) && isText(event.label),
  error: (event) => isText(event.code),
  pong: () => true,
  session_ended: (event) => isText(event.reason),
};

/**
 * One event from its JSON, or null for anything else: newer servers may send events that this page does not know.
 * @param {string} text
 * @returns {ServerEvent | null}
 */
export function parseEvent(text) {
  let event;
  try {
    event = JSON.parse(text);
  } catch {
    return null;
  }
  return isServerEvent(event) ? event : null;
}

/**
 * Call the handler named after the event's action, if there is one.
 * @param {ServerEvent} event
 * @param {EventHandlers} handlers
 */
export function dispatch(event, handlers) {
  const handler = /** @type {((event: ServerEvent) => void) | undefined} */ (handlers[event.action]);
  handler?.(event);
}

/**
 * @param {any} value
 * @returns {value is ServerEvent}
 */
function isServerEvent(value) {
  if (!value || !Object.hasOwn(SHAPES, value.action)) return false;
  return SHAPES[/** @type {ServerEvent["action"]} */ (value.action)](value);
}

/** @param {any} model the operator's own, null or missing where none answers */
function isOwnModel(model) {
  return !model || (isText(model.model) && isText(model.host));
}

/** @param {unknown} box */
function isBox(box) {
  return Array.isArray(box) && box.length === 4 && box.every((edge) => isCount(edge) && edge <= 1000);
}
