/** The task as steps, with the current one marked. */

const MARKS = { done: "done", current: "now", todo: "" };

/** Show steps of `{ text, state }` under a title; null hides them. */
export function showGuidance(section, guidance) {
  section.hidden = !guidance;
  if (!guidance) return;
  const title = document.createElement("h3");
  title.textContent = guidance.title;
  const list = document.createElement("ol");
  list.append(...guidance.steps.map(step));
  section.replaceChildren(title, list);
}

function step({ text, state }) {
  const item = document.createElement("li");
  item.dataset.state = state;
  if (state === "current") item.ariaCurrent = "step";
  item.append(text);
  if (MARKS[state]) {
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.textContent = MARKS[state];
    item.append(" ", mark);
  }
  return item;
}
