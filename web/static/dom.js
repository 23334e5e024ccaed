// @ts-check
/** Element lookup and creation. Code finds elements by `data-ui`; classes are for style, `data-testid` is for tests. */

/**
 * The first element marked `data-ui="name"` under a root; throws when there is none of that type.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} name
 * @param {new () => T} [type]
 * @returns {T}
 */
export function uiElement(root, name, type = /** @type {any} */ (HTMLElement)) {
  const element = root.querySelector(selectorOf(name));
  if (element instanceof type) return element;
  throw new Error(`The page has no ${type.name} marked data-ui="${name}".`);
}

/**
 * All elements marked `data-ui="name"` under a root, in document order.
 * @param {ParentNode} root
 * @param {string} name
 * @returns {HTMLElement[]}
 */
export function uiElements(root, name) {
  return Array.from(root.querySelectorAll(selectorOf(name)));
}

/**
 * The nearest element marked `data-ui="name"` around an element, or null.
 * @param {Element} element
 * @param {string} name
 * @returns {HTMLElement | null}
 */
export function uiAncestor(element, name) {
  return element.closest(selectorOf(name));
}

/**
 * A new element with these properties and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} [properties]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function create(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** @param {string} name */
function selectorOf(name) {
  return `[data-ui~="${name}"]`;
}
