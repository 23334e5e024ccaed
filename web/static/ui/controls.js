/** What the assistant is doing, in words, and what a person can press meanwhile. All of it is pure. */

const WORDS = {
  asking: "Waiting for your microphone: allow it in the browser’s question",
  connecting: "Connecting…",
  listening: "Listening to you",
  thinking: "Thinking",
  speaking: "Speaking",
  reconnecting: "Reconnecting…",
};

const READY = {
  on: "Ready – just talk",
  muted: "Ready – you are muted, so type or unmute",
  none: "Ready – type your question",
};

/** One sentence for a state; `microphone` is "on", "muted" or "none", `view` is "idle", "live" or "ended". */
export function stateLabel(view, state, microphone) {
  if (view === "idle") return "Not started";
  if (view === "ended") return "Ended";
  return WORDS[state] ?? READY[microphone];
}

/** The states worth telling a screen reader; the rest is heard, or would talk over the assistant. */
export function isAnnounced(view, state) {
  return view === "ended" || ["asking", "connecting", "reconnecting", "idle"].includes(state);
}

/** What each control shows: `{ hidden, disabled, label, title }` by the control's name. */
export function controlsFor({ view, state, connected, microphone, sharing, canShare }) {
  const live = view === "live";
  const audible = state === "speaking" || state === "thinking";
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
      disabled: !connected || !audible,
      label: "Interrupt",
      title: connected && !audible ? "Nothing to interrupt: the assistant is silent" : "",
    },
    text: { disabled: !live },
    send: { disabled: !connected, label: "Send" },
    end: { hidden: !live, label: "End" },
  };
}

function shareTitle(live, canShare) {
  if (!live) return "Available once you have started";
  return canShare ? "" : "This browser cannot share a screen";
}
