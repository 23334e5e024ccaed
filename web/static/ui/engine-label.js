// @ts-check
/** The name of the engine in use, and the note about where microphone and screen go. */

/** @import { Engine } from "../net/server-events.js" */

/**
 * "Local engine (offline)" or with the model that answers in it, or Gemini Live with its model; an unknown engine by
 * its own name.
 * @param {Engine} answering
 */
export function engineLabel({ engine, model, language_model: own }) {
  if (engine === "local" && own) return `Local engine, answers by ${own.model} at ${own.host}`;
  if (engine === "local") return "Local engine (offline)";
  const name = engine === "gemini" ? "Gemini Live" : engine;
  return model ? `${name}, model ${model}` : name;
}

/**
 * The sentences about where microphone and screen go.
 * @param {Pick<Engine, "engine" | "language_model">} answering
 */
export function privacyNote({ engine, language_model: own }) {
  const limits = "Nothing is sent before you press Start, and the screen only while you share it.";
  if (engine === "local" && own) {
    return `Your microphone and shared screen go to this server. Your questions as text, and pictures or words of the screen, go on to ${own.model} at ${own.host}. ${limits}`;
  }
  if (engine === "local") return `Your microphone and shared screen go to this server and no further. ${limits}`;
  if (engine === "gemini") return `Your microphone and shared screen go to this server, which passes them on to Google’s Gemini. ${limits}`;
  return `Your microphone and shared screen go to this server, and on to Google only if Gemini is the engine. ${limits}`;
}
