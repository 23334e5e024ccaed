/** Which engine answers, in words, and what it can be asked. */

/** "Local engine (offline)", or Gemini Live with its model; an unknown engine by its own name. */
export function engineLabel({ engine, model }) {
  if (engine === "local") return "Local engine (offline)";
  const name = engine === "gemini" ? "Gemini Live" : engine;
  return model ? `${name}, model ${model}` : name;
}

/** Where microphone and screen go. */
export function privacyNote(engine) {
  const kept = "Nothing is sent before you press Start, and the screen only while you share it.";
  if (engine === "local") return `Your microphone and shared screen go to this server and no further. ${kept}`;
  if (engine === "gemini") return `Your microphone and shared screen go to this server, which passes them on to Google’s Gemini. ${kept}`;
  return `Your microphone and shared screen go to this server, and on to Google only if Gemini is the engine. ${kept}`;
}
