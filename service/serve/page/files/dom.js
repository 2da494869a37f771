// Builds nodes. Whatever comes from outside becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** A new HTML element; children are nodes or text, null and false are left out. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** A new SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const byId = (id) => document.getElementById(id);

const drawn = new WeakMap();

/** Put children into a node, unless what they are made of is what it was made of before. */
export function fill(node, made_of, build) {
  const key = JSON.stringify(made_of);
  if (drawn.get(node) === key) return;
  drawn.set(node, key);
  node.replaceChildren(...[build()].flat().filter(Boolean));
}

/** Set the text of a node, if it is another. */
export function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}
