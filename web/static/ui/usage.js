/** What the conversation has used, by kind, as the engine counts it. */

/** Sums over turns, shown once there is anything to show. */
export class UsagePanel {
  #section;
  #sums = new Map();

  constructor(section) {
    this.#section = section;
  }

  /** Add one turn's counts, such as { total: 120 }. */
  add(counts = {}) {
    for (const [kind, count] of Object.entries(counts)) {
      if (Number.isFinite(count)) this.#sums.set(kind, (this.#sums.get(kind) ?? 0) + count);
    }
    this.#section.hidden = this.#sums.size === 0;
    this.#section.querySelector("dl").replaceChildren(...[...this.#sums].map(row));
  }
}

function row([kind, count]) {
  const pair = document.createElement("div");
  const name = Object.assign(document.createElement("dt"), { textContent: `${kind.replaceAll("_", " ")} tokens` });
  const value = Object.assign(document.createElement("dd"), { textContent: count.toLocaleString("en") });
  pair.append(name, value);
  return pair;
}
