import assert from "node:assert/strict";
import { test } from "node:test";

import { describePosition, placePointer } from "../static/ui/pointer-overlay.js";

test("a box becomes percentages with its label where there is room", () => {
  assert.deepEqual(placePointer([120, 40, 160, 110]), { top: 12, left: 4, width: 7, height: 4, below: true, leftward: false });
  assert.deepEqual(placePointer([500, 900, 560, 1000]), { top: 50, left: 90, width: 10, height: 6, below: false, leftward: true });
});

test("a box with its edges swapped has no size", () => {
  const { width, height } = placePointer([560, 1000, 500, 900]);
  assert.deepEqual([width, height], [0, 0]);
});

test("the position is named by thirds of the picture", () => {
  assert.equal(describePosition([400, 400, 600, 600]), "in the middle");
  assert.equal(describePosition([900, 400, 1000, 600]), "at the bottom");
  assert.equal(describePosition([0, 400, 100, 600]), "at the top");
  assert.equal(describePosition([0, 900, 100, 1000]), "at the upper right");
  assert.equal(describePosition([450, 0, 550, 100]), "at the left");
});
