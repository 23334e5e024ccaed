/** Where the assistant points: geometry, words, and the box drawn over a picture. */

const NEAR_TOP = 140; // above this there is no room for the label over the box

/** Percentages of the picture for a box [ymin, xmin, ymax, xmax] in 0 to 1000, and where its label has room. */
export function placePointer([ymin, xmin, ymax, xmax]) {
  return {
    top: ymin / 10,
    left: xmin / 10,
    width: Math.max(0, xmax - xmin) / 10,
    height: Math.max(0, ymax - ymin) / 10,
    below: ymin < NEAR_TOP,
    leftward: (xmin + xmax) / 2 > 600,
  };
}

/** Where a box lies, in words: "at the upper left". */
export function describePosition([ymin, xmin, ymax, xmax]) {
  const row = third((ymin + ymax) / 2, ["upper", "", "lower"]);
  const column = third((xmin + xmax) / 2, ["left", "", "right"]);
  if (!row && !column) return "in the middle";
  if (!column) return row === "upper" ? "at the top" : "at the bottom";
  return `at the ${[row, column].filter(Boolean).join(" ")}`;
}

/** Draw the pointer into an overlay that covers exactly the picture; null clears it. */
export function drawPointer(overlay, pointer, { testid = "", stale = false } = {}) {
  if (!pointer) return overlay.replaceChildren();
  const place = placePointer(pointer.box);
  const box = document.createElement("div");
  box.className = "pointer";
  box.toggleAttribute("data-stale", stale);
  box.toggleAttribute("data-below", place.below);
  box.toggleAttribute("data-leftward", place.leftward);
  if (testid) box.dataset.testid = testid;
  for (const side of ["top", "left", "width", "height"]) box.style.setProperty(side, `${place[side]}%`);
  const label = document.createElement("span");
  label.className = "pointer-label";
  label.textContent = pointer.label;
  box.append(label);
  return overlay.replaceChildren(box);
}

function third(value, names) {
  return names[value < 400 ? 0 : value > 600 ? 2 : 1];
}
