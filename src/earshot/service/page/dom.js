// The two things this page does to its document.

export const byId = (id) => document.getElementById(id);

/**
 * A new element. Strings become text, never markup: labels and messages come from elsewhere.
 *
 * @param {string} tag
 * @param {object} [properties] set on the element; `class` and names with a dash become attributes.
 * @param {...(Node | string)} children
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}
