// The only place that makes elements. Text is set as text, always: what an event says can never become markup.

const SVG = "http://www.w3.org/2000/svg";

// An attribute that could run something, or that the content security policy refuses, is a mistake in the page.
function setAll(element, attributes) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
      continue;
    }
    if (name === "value" && "value" in element && !(element instanceof HTMLOptionElement)) {
      element.value = value;
      continue;
    }
    if (/^on/i.test(name) || name === "style" || name === "srcdoc" || name === "src") {
      throw new Error(`attribute ${name} is not for elements made here`);
    }
    if (name === "href" && !/^#/.test(value)) throw new Error("links lead to places of this page");
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

function fill(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** Make an HTML element; children are nodes, texts, numbers or lists of them. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  // A select takes its value from its options, so they come first.
  if (tag === "select") {
    fill(element, children);
    setAll(element, attributes);
    return element;
  }
  setAll(element, attributes);
  return fill(element, children);
}

/** Make an SVG element. */
export function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  setAll(element, attributes);
  return fill(element, children);
}

/** Put other children into an element. */
export function refill(element, ...children) {
  element.replaceChildren();
  return fill(element, children);
}

/** Where the focus is, as a path of data-key attributes, to find it again after a part was built anew. */
export function focusWithin(root) {
  const active = document.activeElement;
  if (!active || active === root || !root.contains(active)) return null;
  const keyed = active.closest("[data-key]");
  return keyed && root.contains(keyed) ? { key: keyed.dataset.key, inside: keyed !== active } : { key: null };
}

/** Build a part anew without losing focus, scroll or opened details. */
export function rebuild(root, ...children) {
  const focus = focusWithin(root);
  const open = new Set([...root.querySelectorAll("details[open][data-key]")].map((each) => each.dataset.key));
  refill(root, ...children);
  for (const each of root.querySelectorAll("details[data-key]")) if (open.has(each.dataset.key)) each.open = true;
  if (focus?.key) {
    const found = [...root.querySelectorAll("[data-key]")].find((each) => each.dataset.key === focus.key);
    const target = found?.matches("a, button, input, select, textarea, summary, [tabindex]")
      ? found
      : found?.querySelector("a, button, input, select, summary");
    target?.focus({ preventScroll: true });
  }
}

/** Put keyed nodes into a list in a given order, moving as few as possible and never the one with the focus. */
export function arrange(list, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  const active = document.activeElement;
  const fixed = nodes.findIndex((node) => node.contains(active) && node.parentNode === list);
  if (fixed < 0) {
    let place = list.firstChild;
    for (const node of nodes) {
      if (node === place) place = place.nextSibling;
      else list.insertBefore(node, place);
    }
    return;
  }
  // Nodes around the one with the focus are moved past it, since a node that is moved loses the focus.
  let before = nodes[fixed];
  for (let i = fixed - 1; i >= 0; i -= 1) {
    if (before.previousSibling !== nodes[i]) list.insertBefore(nodes[i], before);
    before = nodes[i];
  }
  let after = nodes[fixed];
  for (let i = fixed + 1; i < nodes.length; i += 1) {
    if (after.nextSibling !== nodes[i]) list.insertBefore(nodes[i], after.nextSibling);
    after = nodes[i];
  }
}
