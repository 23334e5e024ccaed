/** The page: finds its elements, makes its parts, and says who tells whom. */

import { engineLabel, privacyNote } from "./ui/engine-label.js";
import { AppError } from "./errors.js";
import { showGuidance } from "./ui/guidance.js";
import { LevelMeter } from "./media/level-meter.js";
import { Microphone } from "./media/microphone.js";
import { Notices } from "./ui/notices.js";
import { request } from "./net/http.js";
import { ScreenShare } from "./media/screen-share.js";
import { Conversation } from "./net/conversation.js";
import { bindShortcuts } from "./ui/shortcuts.js";
import { controlsFor, isAnnounced, stateLabel } from "./ui/controls.js";
import { Transcript } from "./ui/transcript.js";
import { UsagePanel } from "./ui/usage.js";
import { AuthController } from "./auth/auth-controller.js";

const find = (selector) => document.querySelector(selector);
const hook = (name) => find(`[data-testid="${name}"]`);
const CONTROLS = ["start", "share", "mute", "interrupt", "text", "send", "end"];

const buttons = Object.fromEntries(CONTROLS.map((name) => [name, hook(name)]));
const meters = { microphone: hook("mic-level"), voice: hook("voice-level") };
const sound = find(".voice");

const notices = new Notices(hook("error"));
const visitor = new AuthController({ notices, announce, current: () => session && conversation, end });
const transcript = new Transcript(hook("transcript"));
const usage = new UsagePanel(hook("usage"));
const levels = new LevelMeter(paintLevel);
const microphone = new Microphone(() => noMicrophone(new AppError("MIC_GONE")));
const screen = new ScreenShare(
  {
    section: find(".screen"),
    video: hook("preview"),
    live: find(".live .overlay"),
    canvas: find(".seen canvas"),
    overlay: find(".seen .overlay"),
    age: find(".age"),
    reason: find(".reason"),
    pointed: hook("pointed"),
    hint: hook("hint"),
  },
  (path) => (session ?? visitor.identity).fetch(path),
  stopSharing,
);

let view = "idle";
let state = "idle";
let connected = false;
let session = null;
let conversation = null; // the server's id of the one we are in

const events = {
  session_started(event) {
    if (conversation && conversation !== event.id) {
      transcript.newConversation();
      transcript.note("A new conversation begins: the assistant does not remember the one above.");
    }
    conversation = event.id;
    screen.belongTo(event.id);
    showEngine(event);
    if (event.warnings?.length) notices.tell(event.warnings.join(" "));
  },
  state: (event) => enter(view, event.state),
  transcript: (event) => transcript.said(event),
  text_response: (event) => transcript.said({ ...event, role: "assistant", final: true }),
  interrupted: (event) => transcript.cut(event),
  turn_complete(event) {
    const latency = event.latency_ms?.speech_end_to_first_audio;
    if (Number.isFinite(latency)) transcript.timed(event.turn, latency);
    transcript.settle(event.turn);
    usage.add(event.usage);
    notices.dropPassing();
  },
  screen_seen: (event) => screen.saw(event),
  guidance: (event) => showGuidance(hook("guidance"), event.steps.length > 0 ? event : null),
  pointer: (event) => screen.point(event),
  error(event) {
    if (event.fatal) return; // session_ended follows
    if (event.code === "ENGINE_CONFIG_REDUCED") return notices.tell(event.message);
    const code = event.details?.kept ? "ENGINE_AWAY" : event.code;
    notices.say(new AppError(code, { message: event.message }), { lasting: false });
  },
};

const notifying = (mine) => ({
  voice: play,
  connected() {
    connected = true;
    enter(view, state === "reconnecting" || state === "connecting" ? "idle" : state);
  },
  lost() {
    connected = false;
    enter(view, "reconnecting");
  },
  over: (error) => session === mine() && finish(error), // a newer conversation is not ended by an older one
});

async function start() {
  if (session) return;
  notices.clear();
  if (!globalThis.RTCPeerConnection) return notices.say(new AppError("BROWSER_TOO_OLD"));
  const mine = new Conversation(visitor.identity, events, notifying(() => mine));
  session = mine;
  conversation = null;
  if (!transcript.isEmpty) transcript.newConversation();
  enter("live", "connecting");
  buttons.end.focus();
  try {
    await mine.enter();
    if (session !== mine) return;
    enter("live", "asking");
    await openMicrophone();
    if (session !== mine) return forgetMicrophone(); // ended while the browser asked
    enter("live", "connecting");
    await mine.start(microphone.track);
  } catch (error) {
    if (session === mine) refuse(error);
  }
}

/** The conversation could not begin. */
function refuse(error) {
  leave();
  if (visitor.mustLogIn(error, start)) return;
  notices.say(error, { action: error.code === "FORBIDDEN" ? null : { label: "Try again", run: start } });
}

/** The conversation is over; `error` says why when it was not the person's wish. */
function finish(error) {
  leave();
  if (error) notices.say(error, { action: { label: "Start again", run: start }, fatal: true });
}

function leave() {
  session = null;
  connected = false;
  transcript.settle();
  screen.stop();
  showGuidance(hook("guidance"), null);
  forgetMicrophone();
  levels.close();
  sound.srcObject = null;
  notices.clear();
  enter(transcript.isEmpty ? "idle" : "ended", "idle");
  buttons.start.focus({ preventScroll: true });
}

async function end() {
  const mine = session;
  if (!mine) return;
  if (!connected && state !== "reconnecting") leave(); // nothing has begun that could say goodbye
  await mine.end();
}

async function openMicrophone() {
  try {
    await microphone.open();
    levels.watch("microphone", new MediaStream([microphone.track]));
  } catch (error) {
    noMicrophone(error);
  }
}

function noMicrophone(error) {
  levels.watch("microphone", null);
  session?.setMicrophone(null);
  const again = error.code === "INSECURE_CONTEXT" ? null : { label: "Try the microphone again", run: retryMicrophone };
  notices.say(error, { action: again });
  enter(view, state);
}

function forgetMicrophone() {
  if (session) return; // a newer start has it by now
  microphone.close();
  levels.watch("microphone", null);
  for (const code of ["MIC_DENIED", "MIC_MISSING", "MIC_BUSY", "MIC_GONE", "INSECURE_CONTEXT"]) notices.drop(code);
}

async function retryMicrophone() {
  await openMicrophone();
  if (!session) return forgetMicrophone();
  await session.setMicrophone(microphone.track);
  enter(view, state);
}

function mute() {
  if (buttons.mute.disabled) return;
  microphone.toggle();
  enter(view, state);
}

async function share() {
  if (buttons.share.disabled) return;
  if (screen.track) return stopSharing();
  try {
    const track = await screen.share();
    if (!session) return screen.stop();
    if (track) await session.setScreen(track);
  } catch (error) {
    notices.say(error);
  }
  enter(view, state);
}

async function stopSharing() {
  screen.stop();
  enter(view, state);
  await session?.setScreen(null);
}

function interrupt() {
  if (!buttons.interrupt.disabled) session.send({ action: "interrupt" });
}

function ask(event) {
  event.preventDefault();
  const text = buttons.text.value.trim();
  if (text && session?.send({ action: "text_input", text })) buttons.text.value = "";
}

async function play(stream) {
  sound.srcObject = stream;
  levels.watch("voice", stream);
  try {
    await sound.play();
    notices.drop("SOUND_BLOCKED");
  } catch (error) {
    if (error.name !== "NotAllowedError") return; // a newer line has taken over the element
    notices.say(new AppError("SOUND_BLOCKED"), { action: { label: "Turn on sound", run: () => play(stream) } });
  }
}

function enter(nextView, nextState) {
  view = nextView;
  state = nextState;
  Object.assign(document.body.dataset, { view, state, microphone: microphone.state });
  document.body.toggleAttribute("data-sharing", screen.track !== null);
  const words = stateLabel(view, state, microphone.state);
  if (hook("state").textContent !== words) {
    hook("state").textContent = words;
    if (isAnnounced(view, state)) announce(words);
  }
  const shown = { view, state, connected, microphone: microphone.state, sharing: screen.track !== null, canShare: ScreenShare.isPossible };
  for (const [name, control] of Object.entries(controlsFor(shown))) showControl(buttons[name], control);
  for (const button of hook("can-be-asked").querySelectorAll("button")) button.disabled = buttons.text.disabled;
}

function announce(text) {
  find(".announcer").textContent = text;
}

function showControl(button, { hidden = false, disabled = false, label = null, title = "" }) {
  button.hidden = hidden;
  button.disabled = disabled;
  button.title = title;
  if (label !== null) (button.querySelector(".label") ?? button).textContent = label;
}

function paintLevel(name, level, told) {
  document.body.style.setProperty(`--${name}`, level.toFixed(3));
  if (told) meters[name].ariaValueNow = Math.round(level * 100);
}

function showEngine(engine) {
  hook("engine").textContent = engineLabel(engine);
  find("#privacy").textContent = privacyNote(engine.engine);
  if (engine.can_be_asked) showExamples(engine.can_be_asked);
}

function showExamples(examples) {
  hook("can-be-asked").hidden = examples.length === 0;
  hook("can-be-asked").querySelector("ul").replaceChildren(...examples.map(example));
}

function example(text) {
  const item = document.createElement("li");
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: text, disabled: buttons.text.disabled });
  button.addEventListener("click", () => {
    buttons.text.value = text;
    buttons.text.focus();
  });
  item.append(button);
  return item;
}

async function askForEngine() {
  try {
    const response = await request("/api/v1/engine");
    if (response.ok) showEngine(await response.json());
  } catch (error) {
    notices.say(error);
  }
}

buttons.start.addEventListener("click", start);
buttons.share.addEventListener("click", share);
buttons.mute.addEventListener("click", mute);
buttons.interrupt.addEventListener("click", interrupt);
buttons.end.addEventListener("click", end);
find(".ask").addEventListener("submit", ask);
buttons.text.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  event.preventDefault();
  buttons.text.blur();
});
bindShortcuts({ m: mute, s: share, escape: interrupt, "/": () => buttons.text.focus() }, find(".keys-on"));
window.addEventListener("online", () => session?.probe());
document.addEventListener("visibilitychange", () => document.hidden || session?.probe());
window.addEventListener("pagehide", () => session?.abandon());
enter("idle", "idle");
askForEngine();
