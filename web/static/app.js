// @ts-check
/** The page: creates its parts and connects them. */

import { AuthController } from "./auth/auth-controller.js";
import { create, uiElement } from "./dom.js";
import { AppError, errorName, toAppError } from "./errors.js";
import { LevelMeter } from "./media/level-meter.js";
import { Microphone } from "./media/microphone.js";
import { ScreenShare } from "./media/screen-share.js";
import { WordBoxes } from "./media/word-boxes.js";
import { Conversation } from "./net/conversation.js";
import { readJson, request } from "./net/http.js";
import { controlsFor, isAnnounced, stateLabel } from "./ui/controls.js";
import { engineLabel, privacyNote } from "./ui/engine-label.js";
import { examplesNow } from "./ui/examples.js";
import { showGuidance } from "./ui/guidance.js";
import { Notices } from "./ui/notices.js";
import { bindPushToTalk } from "./ui/push-to-talk.js";
import { bindShortcuts } from "./ui/shortcuts.js";
import { Transcript } from "./ui/transcript.js";
import { UsagePanel } from "./ui/usage.js";

/** @import { MeterName } from "./media/level-meter.js" */
/** @import { ConversationCallbacks } from "./net/conversation.js" */
/** @import { Engine, EventHandlers } from "./net/server-events.js" */
/** @import { Control, ControlName, PageState, View } from "./ui/controls.js" */

const MICROPHONE_CODES = ["MIC_DENIED", "MIC_MISSING", "MIC_BUSY", "MIC_GONE", "INSECURE_CONTEXT"];

const LAST_SOUND = 300; // ms until the last sound of a question has reached the server, whose end is then known

const questionField = uiElement(document, "text", HTMLInputElement);
const controls = {
  start: uiElement(document, "start", HTMLButtonElement),
  share: uiElement(document, "share", HTMLButtonElement),
  mute: uiElement(document, "mute", HTMLButtonElement),
  interrupt: uiElement(document, "interrupt", HTMLButtonElement),
  text: questionField,
  send: uiElement(document, "send", HTMLButtonElement),
  end: uiElement(document, "end", HTMLButtonElement),
};
const meters = { microphone: uiElement(document, "microphone-level"), voice: uiElement(document, "voice-level") };
const voice = uiElement(document, "voice", HTMLAudioElement);
const stateText = uiElement(document, "state");
const guidanceSection = uiElement(document, "guidance");
const exampleList = uiElement(document, "example-list");

const notices = new Notices(uiElement(document, "notices"));
const auth = new AuthController({
  notices,
  announce,
  conversationId: () => conversation && sessionId,
  endConversation: end,
});
const transcript = new Transcript(uiElement(document, "transcript"));
const usage = new UsagePanel(uiElement(document, "usage"));
const levelMeter = new LevelMeter(showLevel);
const microphone = new Microphone(() => onMicrophoneFailed(new AppError("MIC_GONE")));
const screenShare = new ScreenShare((path) => (conversation ?? auth.identity).fetch(path), stopSharing);

const wordsOn = uiElement(document, "words-on", HTMLInputElement);
const wordBoxes = new WordBoxes(uiElement(document, "words-overlay"), () => {
  const path = `/api/v1/sessions/${encodeURIComponent(sessionId ?? "")}/words`;
  return (conversation ?? auth.identity).fetch(path);
});

/** @type {View} */
let view = "idle";
let state = "idle";
let connected = false;
/** @type {Conversation | null} */
let conversation = null;
/** @type {string | null} */
let sessionId = null; // the server's id of the session this page is or was in

let releaseTimer = 0;
/** @type {string[]} */
let examples = []; // all that the engine understands

/** @type {EventHandlers} */
const eventHandlers = {
  session_started(event) {
    if (sessionId && sessionId !== event.id) {
      transcript.startConversation();
      transcript.addNote("A new conversation begins: the assistant does not remember the one above.");
    }
    sessionId = event.id;
    screenShare.setSession(event.id);
    showEngine(event);
    if (event.warnings?.length) notices.showMessage(event.warnings.join(" "));
  },
  state: (event) => setState(view, event.state),
  transcript: (event) => transcript.setText(event),
  text_response: ({ turn, text }) => transcript.setText({ turn, text, role: "assistant", final: true }),
  interrupted: (event) => transcript.setInterrupted(event),
  resumed: (event) => transcript.setResumed(event.turn),
  turn_complete(event) {
    const latency = event.latency_ms?.speech_end_to_first_audio;
    if (latency !== undefined && Number.isFinite(latency)) transcript.setLatency(event.turn, latency);
    transcript.finalize(event.turn);
    usage.add(event.usage);
    notices.removeTransient();
  },
  screen_seen(event) {
    screenShare.showSeen(event);
    if (screenShare.track) wordBoxes.refresh();
  },
  guidance: (event) => showGuidance(guidanceSection, event.steps.length > 0 ? event : null),
  pointer: (event) => screenShare.showPointer(event),
  error({ code, message = "", fatal, details }) {
    if (fatal) return; // session_ended follows
    if (code === "ENGINE_CONFIG_REDUCED") return notices.showMessage(message);
    const shownCode = details?.kept ? "ENGINE_AWAY" : code;
    notices.showError(new AppError(shownCode, { message }), { isTransient: true });
  },
};

/**
 * The callbacks of one conversation; the end of an older one does not end a newer one.
 * @param {() => Conversation} owner
 * @returns {ConversationCallbacks}
 */
const callbacksFor = (owner) => ({
  onVoice: playVoice,
  onConnected() {
    connected = true;
    setState(view, state === "reconnecting" || state === "connecting" ? "idle" : state);
  },
  onLost() {
    connected = false;
    setState(view, "reconnecting");
  },
  onEnded(error) {
    if (conversation === owner()) onConversationEnded(error);
  },
});

async function start() {
  if (conversation) return;
  notices.clear();
  if (!globalThis.RTCPeerConnection) return notices.showError(new AppError("BROWSER_TOO_OLD"));
  /** @type {Conversation} */
  const started = new Conversation(auth.identity, eventHandlers, callbacksFor(() => started));
  conversation = started;
  sessionId = null;
  if (!transcript.isEmpty) transcript.startConversation();
  setState("live", "connecting");
  controls.end.focus();
  try {
    await started.authenticate();
    if (conversation !== started) return;
    setState("live", "asking");
    await openMicrophone();
    if (conversation !== started) return closeMicrophone(); // ended while the browser asked for permission
    setState("live", "connecting");
    await started.start(microphone.track, microphone.record());
  } catch (error) {
    if (conversation === started) onStartFailed(toAppError(error));
  }
}

/** @param {AppError} error */
function onStartFailed(error) {
  closeConversation();
  if (auth.askToLogIn(error, start)) return;
  notices.showError(error, { action: error.code === "FORBIDDEN" ? null : { label: "Try again", run: start } });
}

/** @param {AppError | null} error null when the person ended it */
function onConversationEnded(error) {
  closeConversation();
  if (error) notices.showError(error, { action: { label: "Start again", run: start }, isFatal: true });
}

function closeConversation() {
  conversation = null;
  connected = false;
  transcript.finalize();
  stopScreenPictures();
  showGuidance(guidanceSection, null);
  closeMicrophone();
  levelMeter.close();
  voice.srcObject = null;
  notices.clear();
  setState(transcript.isEmpty ? "idle" : "ended", "idle");
  controls.start.focus({ preventScroll: true });
}

async function end() {
  const ending = conversation;
  if (!ending) return;
  if (!connected && state !== "reconnecting") closeConversation(); // no session that could confirm its end
  await ending.end();
}

async function openMicrophone() {
  try {
    const track = await microphone.open();
    levelMeter.watch("microphone", new MediaStream([track]));
  } catch (error) {
    onMicrophoneFailed(toAppError(error));
  }
}

/** @param {AppError} error */
function onMicrophoneFailed(error) {
  levelMeter.watch("microphone", null);
  conversation?.setMicrophone(null);
  const action = error.code === "INSECURE_CONTEXT" ? null : { label: "Try the microphone again", run: retryMicrophone };
  notices.showError(error, { action });
  setState(view, state);
}

function closeMicrophone() {
  if (conversation) return; // a newer start uses it by now
  microphone.close();
  levelMeter.watch("microphone", null);
  for (const code of MICROPHONE_CODES) notices.remove(code);
}

async function retryMicrophone() {
  await openMicrophone();
  if (!conversation) return closeMicrophone();
  await conversation.setMicrophone(microphone.track);
  setState(view, state);
}

/** @param {boolean} isHeld */
function holdToTalk(isHeld) {
  microphone.hold(isHeld);
  setState(view, state);
  clearTimeout(releaseTimer);
  if (!isHeld) releaseTimer = setTimeout(() => conversation?.send({ action: "audio_end" }), LAST_SOUND);
}

function toggleMute() {
  if (controls.mute.disabled) return;
  microphone.toggleMute();
  setState(view, state);
}

async function toggleSharing() {
  if (controls.share.disabled) return;
  if (screenShare.track) return stopSharing();
  try {
    const track = await screenShare.share();
    if (!conversation) return screenShare.stop();
    if (track) await conversation.setScreen(track);
  } catch (error) {
    notices.showError(toAppError(error));
  }
  setState(view, state);
}

function stopScreenPictures() {
  screenShare.stop();
  wordsOn.checked = false;
  wordBoxes.show(false);
}

async function stopSharing() {
  stopScreenPictures();
  setState(view, state);
  await conversation?.setScreen(null);
}

function interrupt() {
  if (!controls.interrupt.disabled) conversation?.send({ action: "interrupt" });
}

/** @param {SubmitEvent} event */
function sendQuestion(event) {
  event.preventDefault();
  const text = questionField.value.trim();
  if (text && conversation?.send({ action: "text_input", text })) questionField.value = "";
}

/** @param {MediaStream} stream */
async function playVoice(stream) {
  voice.srcObject = stream;
  levelMeter.watch("voice", stream);
  try {
    await voice.play();
    notices.remove("SOUND_BLOCKED");
  } catch (error) {
    if (errorName(error) !== "NotAllowedError") return; // a newer stream has replaced this one
    notices.showError(new AppError("SOUND_BLOCKED"), { action: { label: "Turn on sound", run: () => playVoice(stream) } });
  }
}

/**
 * Change the page's state and update everything that depends on it.
 * @param {View} nextView
 * @param {string} nextState
 */
function setState(nextView, nextState) {
  view = nextView;
  state = nextState;
  const sharing = screenShare.track !== null;
  Object.assign(document.body.dataset, { view, state, microphone: microphone.state });
  document.body.toggleAttribute("data-sharing", sharing);
  showStateLabel(stateLabel(view, state, microphone.state));
  showExamples();
  showControls({ view, state, connected, microphone: microphone.state, sharing, canShare: ScreenShare.isPossible });
}

/** @param {string} label */
function showStateLabel(label) {
  if (stateText.textContent === label) return;
  stateText.textContent = label;
  if (isAnnounced(view, state)) announce(label);
}

/** @param {PageState} page */
function showControls(page) {
  const shown = controlsFor(page);
  for (const name of /** @type {ControlName[]} */ (Object.keys(controls))) showControl(controls[name], shown[name]);
  for (const button of exampleList.querySelectorAll("button")) button.disabled = questionField.disabled;
}

/**
 * @param {HTMLButtonElement | HTMLInputElement} element
 * @param {Control} control
 */
function showControl(element, { hidden = false, disabled = false, label, title = "" }) {
  element.hidden = hidden;
  element.disabled = disabled;
  element.title = title;
  if (label !== undefined) (element.querySelector('[data-ui="label"]') ?? element).textContent = label;
}

/** @param {string} text said by screen readers */
function announce(text) {
  uiElement(document, "announcer").textContent = text;
}

/**
 * @param {MeterName} name
 * @param {number} level
 * @param {boolean} forScreenReaders
 */
function showLevel(name, level, forScreenReaders) {
  document.body.style.setProperty(`--${name}`, level.toFixed(3));
  if (forScreenReaders) meters[name].ariaValueNow = String(Math.round(level * 100));
}

/** @param {Engine} engine */
function showEngine(engine) {
  uiElement(document, "engine").textContent = engineLabel(engine);
  uiElement(document, "privacy").textContent = privacyNote(engine);
  uiElement(document, "words").hidden = engine.engine !== "local"; // Gemini sees the picture, not words
  examples = engine.can_be_asked ?? examples;
  showExamples();
}

function showExamples() {
  const shown = examplesNow(examples, { sharing: screenShare.track !== null, answered: transcript.hasAnswer });
  uiElement(document, "examples").hidden = shown.length === 0;
  const items = [...exampleList.querySelectorAll("button")].map((button) => button.textContent);
  if (items.join("\n") !== shown.join("\n")) exampleList.replaceChildren(...shown.map(exampleItem));
}

/** @param {string} text put into the question field by its button */
function exampleItem(text) {
  const button = create("button", { type: "button", disabled: questionField.disabled }, text);
  button.addEventListener("click", () => {
    questionField.value = text;
    questionField.focus();
  });
  return create("li", {}, button);
}

async function loadEngine() {
  try {
    const response = await request("/api/v1/engine");
    if (response.ok) showEngine(await readJson(response));
  } catch (error) {
    notices.showError(toAppError(error));
  }
}

wordsOn.addEventListener("change", () => wordBoxes.show(wordsOn.checked));
controls.start.addEventListener("click", start);
controls.share.addEventListener("click", toggleSharing);
controls.mute.addEventListener("click", toggleMute);
controls.interrupt.addEventListener("click", interrupt);
controls.end.addEventListener("click", end);
uiElement(document, "question-form", HTMLFormElement).addEventListener("submit", sendQuestion);
questionField.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  event.preventDefault();
  questionField.blur();
});
bindPushToTalk({
  toggle: uiElement(document, "push-to-talk", HTMLInputElement),
  isTalking: () => conversation !== null && microphone.state !== "none",
  onMode(isOn) {
    microphone.setPushToTalk(isOn);
    setState(view, state);
  },
  onHold: holdToTalk,
});
bindShortcuts(
  { m: toggleMute, s: toggleSharing, escape: interrupt, "/": () => questionField.focus() },
  uiElement(document, "shortcuts-on", HTMLInputElement),
);
window.addEventListener("online", () => conversation?.probe());
document.addEventListener("visibilitychange", () => document.hidden || conversation?.probe());
window.addEventListener("pagehide", () => conversation?.endOnUnload());
setState("idle", "idle");
loadEngine();
