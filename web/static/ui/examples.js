// @ts-check
/** The example questions that make sense at this moment. */

const ABOUT_SCREEN = /\b(screen|where|find|point|show me)\b/i;
const ABOUT_ANSWER = /\b(again|repeat|stop)\b/i;

/**
 * Of all examples those that can be asked now: about the screen only while it is shared, about the last answer only once
 * there is one. Before any of that is so, all are shown, as they tell what the engine can do.
 * @param {string[]} examples
 * @param {{ sharing: boolean, answered: boolean }} now
 */
export function examplesNow(examples, { sharing, answered }) {
  if (!sharing && !answered) return examples;
  return examples.filter((text) => (sharing || !ABOUT_SCREEN.test(text)) && (answered || !ABOUT_ANSWER.test(text)));
}
