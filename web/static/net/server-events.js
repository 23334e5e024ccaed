/** What the server says on the data channel: read, checked, and handed to whoever is named for it. */

const isText = (value) => typeof value === "string";
const isCount = (value) => Number.isFinite(value) && value >= 0;
const areTexts = (value) => Array.isArray(value) && value.every(isText);
const isTurn = (event) => Number.isInteger(event.turn);

const SHAPES = {
  session_started: (event) => isText(event.id) && isText(event.engine) && isText(event.model) && areTexts(event.warnings ?? []),
  state: (event) => isText(event.state),
  transcript: (event) => isTurn(event) && ["user", "assistant"].includes(event.role) && isText(event.text),
  interrupted: (event) => isTurn(event) && isText(event.heard_text),
  text_response: (event) => isTurn(event) && isText(event.text),
  turn_complete: (event) => isTurn(event),
  screen_seen: (event) => Number.isInteger(event.frame) && isCount(event.age_ms),
  guidance: (event) => isText(event.title) && Array.isArray(event.steps),
  pointer: (event) => Number.isInteger(event.frame) && isBox(event.box) && isText(event.label),
  error: (event) => isText(event.code),
  pong: () => true,
  session_ended: (event) => isText(event.reason),
};

/** The names of the events this page understands. */
export const ACTIONS = Object.keys(SHAPES);

/** One event from its JSON, or null for anything else: newer servers may say more than this page knows. */
export function parseEvent(text) {
  let event;
  try {
    event = JSON.parse(text);
  } catch {
    return null;
  }
  const fits = event && Object.hasOwn(SHAPES, event.action) && SHAPES[event.action](event);
  return fits ? event : null;
}

/** Give an event to the handler of its name. */
export function dispatch(event, handlers) {
  handlers[event.action]?.(event);
}

function isBox(box) {
  return Array.isArray(box) && box.length === 4 && box.every((edge) => isCount(edge) && edge <= 1000);
}
