/** The browser globals that pure modules use. */

class FakeStorage extends Map {
  getItem(key) {
    return this.get(key) ?? null;
  }

  setItem(key, value) {
    this.set(key, value);
  }

  removeItem(key) {
    this.delete(key);
  }
}

/** Install an empty localStorage and a navigator without locks. */
export function installBrowser() {
  setGlobal("navigator", {});
  setGlobal("localStorage", new FakeStorage());
}

/** Switch storage off, as a browser's privacy setting does. */
export function disableStorage() {
  setGlobal("localStorage", undefined);
}

function setGlobal(name, value) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
