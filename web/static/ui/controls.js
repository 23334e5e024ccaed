// @ts-check
/** The pure view model: the state's label, and the controls a person can use in it. */

/** @typedef {"idle" | "live" | "ended"} View */
/** @typedef {"on" | "muted" | "waiting" | "none"} MicrophoneState */
/** @typedef {"start" | "share" | "mute" | "interrupt" | "text" | "send" | "end"} ControlName */
/** @typedef {{ hidden?: boolean, disabled?: boolean, label?: string, title?: string }} Control */

/**
 * @typedef {object} PageState
 * @property {View} view
 * @property {string} state the assistant's state, as the server names it
 * @property {boolean} connected
 * @property {MicrophoneState} microphone
 * @property {boolean} sharing
 * @property {boolean} canShare false where the browser cannot share a screen
 */

/** @type {Record<string, string>} */
const STATE_LABELS = {
  asking: "Waiting for your microphone: allow it in the browser’s question",
  connecting: "Connecting…",
  listening: "Listening to you",
  thinking: "Thinking",
  speaking: "Speaking",
  reconnecting: "Reconnecting…",
};

/** @type {Record<MicrophoneState, string>} */
const READY_LABELS = {
  on: "Ready – just talk",
  muted: "Ready – you are muted, so type or unmute",
  waiting: "Ready – hold Space while you talk",
  none: "Ready – type your question",
};

/**
 * The assistant's state as one sentence.
 * @param {View} view
 * @param {string} state
 * @param {MicrophoneState} microphone
 */
export function stateLabel(view, state, microphone) {
  if (view === "idle") return "Not started";
  if (view === "ended") return "Ended";
  return STATE_LABELS[state] ?? READY_LABELS[microphone];
}

/**
 * True for states that a screen reader announces; the others are audible, or would talk over the assistant.
 * @param {View} view
 * @param {string} state
 */
export function isAnnounced(view, state) {
  return view === "ended" || ["asking", "connecting", "reconnecting", "idle"].includes(state);
}

/**
 * The appearance of each control.
 * @param {PageState} page
 * @returns {Record<ControlName, Control>}
 */
export function controlsFor({ view, state, connected, microphone, sharing, canShare }) {
  const live = view === "live";
  const isAnswering = state === "speaking" || state === "thinking";
  return {
    start: { hidden: live, label: view === "ended" ? "Start again" : "Start" },
    share: {
      disabled: !connected && !sharing,
      label: sharing ? "Stop sharing" : "Share screen",
      title: shareTitle(live, canShare),
    },
    mute: {
      disabled: !live || microphone === "none",
      label: microphone === "muted" ? "Unmute" : "Mute",
      title: live && microphone === "none" ? "No microphone is in use" : "",
    },
    interrupt: {
      disabled: !connected || !isAnswering,
      label: "Interrupt",
      title: connected && !isAnswering ? "Nothing to interrupt: the assistant is silent" : "",
    },
    text: { disabled: !live },
    send: { disabled: !connected, label: "Send" },
    end: { hidden: !live, label: "End" },
  };
}

/**
 * @param {boolean} live
 * @param {boolean} canShare
 */
function shareTitle(live, canShare) {
  if (!live) return "Available once you have started";
  return canShare ? "" : "This browser cannot share a screen";
}
