// Shapes that carry meaning beside colour; each stands next to its word, so all are hidden from screen readers.
import { s } from "./dom.js";

const PATHS = {
  // filled, in a box of 16
  sensitive: "M8 1l6.5 7L8 15 1.5 8z",
  service_incident: "M8 1.5l7 12.5H1zM7.2 6v4h1.6V6zM7.2 11.2v1.6h1.6v-1.6z",
  check: "M6.4 12.6L1.9 8.1l1.5-1.5 3 3 6.2-6.2 1.5 1.5z",
  clock: "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zm0 1.8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 0 0 8 2.8zM7.2 4.5h1.6v3.2l2.3 1.5-.9 1.3-3-2z",
  closed: "M3.6 2.4L8 6.8l4.4-4.4 1.2 1.2L9.2 8l4.4 4.4-1.2 1.2L8 9.2l-4.4 4.4-1.2-1.2L6.8 8 2.4 3.6z",
  held: "M3.5 2h3.2v12H3.5zM9.3 2h3.2v12H9.3z",
  menu: "M1 3h14v1.8H1zM1 7.1h14v1.8H1zM1 11.2h14V13H1z",
  stale: "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zm0 1.8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 0 0 8 2.8zM4.5 7.2h7v1.6h-7z",
  fresh: "M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3z",
};

/** An icon by name, in the colour of the text around it. */
export function icon(name) {
  return s(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", width: 12, height: 12, "aria-hidden": "true", focusable: "false" },
    s("path", { d: PATHS[name] ?? PATHS.fresh, fill: "currentColor", "fill-rule": "evenodd" }),
  );
}
