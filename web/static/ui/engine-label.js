// @ts-check
/** The name of the engine in use, and the note about where microphone and screen go. */

/**
 * "Local engine (offline)", or Gemini Live with its model; an unknown engine by its own name.
 * @param {{ engine: string, model: string }} answering
 */
export function engineLabel({ engine, model }) {
  if (engine === "local") return "Local engine (offline)";
  const name = engine === "gemini" ? "Gemini Live" : engine;
  return model ? `${name}, model ${model}` : name;
}

/**
 * The sentences about where microphone and screen go.
 * @param {string} engine
 */
export function privacyNote(engine) {
  const limits = "Nothing is sent before you press Start, and the screen only while you share it.";
  if (engine === "local") return `Your microphone and shared screen go to this server and no further. ${limits}`;
  if (engine === "gemini") return `Your microphone and shared screen go to this server, which passes them on to Google’s Gemini. ${limits}`;
  return `Your microphone and shared screen go to this server, and on to Google only if Gemini is the engine. ${limits}`;
}
