// Parts that several pages share: tags, notices, definition lists, tables that become cards.
import { h, rebuild } from "./dom.js";
import { icon } from "./icons.js";
import { inputOf, listen } from "./live.js";
import { Refusal, get, path } from "./server.js";
import { name, number, t } from "./words.js";

/** A small label; `tone` gives colour, the icon and the word give the meaning. */
export function tag(text, { tone = "plain", shape = null, title = null } = {}) {
  return h("span", { class: `tag tag-${tone}`, title }, shape && icon(shape), h("span", {}, text));
}

/** A link to a customer. */
export const customerLink = (id, attributes = {}) =>
  h("a", { href: path`#/customer/${id}`, class: "id", ...attributes }, id);

/** A flag with its category. */
export function flagName(flag, category) {
  return [
    h("span", { class: "flag-name" }, name("flag", flag)),
    category && h("span", { class: "category" }, category),
  ];
}

/** How current an input is, in a tag. */
export function inputTag(state) {
  const tones = { fresh: "green", stale: "amber", unknown: "amber" };
  return tag(name("input", state), {
    tone: tones[state] ?? "amber",
    shape: state === "fresh" ? "fresh" : "stale",
    title: name("input_hint", state),
  });
}

/** A notice: something that people must read, in a box with a word for its tone. */
export function notice(tone, ...content) {
  return h("div", { class: `notice notice-${tone}`, role: tone === "error" ? "alert" : "status" }, ...content);
}

/** Terms with their values; those without a value are left out, unless `null` is itself worth saying. */
export function facts(pairs, attributes = {}) {
  const rows = pairs.filter((each) => each && each[1] !== undefined);
  return h(
    "dl",
    { class: "facts", ...attributes },
    rows.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value ?? t("none")))),
  );
}

/** A section with a heading. */
export function section(title, { key = null, hint = null, class: type = "" } = {}, ...content) {
  return h(
    "section",
    { class: `panel ${type}`, "data-section": key },
    h("header", { class: "panel-head" }, h("h2", {}, title), hint && h("p", { class: "hint" }, hint)),
    ...content,
  );
}

/**
 * A table; on a narrow screen each row becomes a card whose cells carry their column's name.
 * Columns are `{title, cell(row), numeric, main}`.
 */
export function table(caption, columns, rows, { empty = t("nothing") } = {}) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const type = (column) => [column.numeric && "numeric", column.main && "main"].filter(Boolean).join(" ") || null;
  return h(
    "table",
    { class: "cards" },
    h("caption", { class: "visually-hidden" }, caption),
    h("thead", {}, h("tr", {}, columns.map((each) => h("th", { scope: "col", class: type(each) }, each.title)))),
    h(
      "tbody",
      {},
      rows.map((row, i) =>
        h(
          "tr",
          {},
          columns.map((each) => h("td", { class: type(each), "data-label": each.title }, each.cell(row, i))),
        ),
      ),
    ),
  );
}

/** The heading of a page, which gets the focus when the page is entered. */
export function heading(title, ...beside) {
  return h("div", { class: "page-head" }, h("h1", { tabindex: "-1" }, title), ...beside);
}

/** A field with its label; `hint` is read with it. */
export function field(label, control, hint = null) {
  const id = control.id || `field-${field.n++}`;
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    control,
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
  );
}
field.n = 0;

/** What went wrong, for a person, with a way to try again. */
export function failure(error, again = null) {
  const text = error instanceof Refusal ? error.text : t("error.unknown");
  return notice(
    "error",
    h("p", {}, text),
    again && h("button", { type: "button", class: "button", on: { click: again } }, t("try_again")),
  );
}

/**
 * Show what a path answers, and keep it current: every so often while somebody looks, after a break of the line, and
 * when `on` says so. A part that is built anew keeps focus and opened details.
 */
export function follow(root, { read, draw, signal, every = 15_000 }) {
  let last = null;
  let timer = null;
  const update = async () => {
    clearTimeout(timer);
    try {
      const found = await read(signal);
      const text = JSON.stringify(found);
      if (text !== last) rebuild(root, draw(found));
      last = text;
      root.removeAttribute("aria-busy");
    } catch (error) {
      if (error.name === "AbortError" || signal.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      // What was shown stays: the banner tells that it grows old.
      if (last === null || error.status === 403 || error.status === 404) rebuild(root, failure(error, update));
    } finally {
      if (!signal.aborted) {
        const next = () => (document.hidden ? (timer = setTimeout(next, every)) : update());
        timer = setTimeout(next, every);
      }
    }
  };
  root.setAttribute("aria-busy", "true");
  signal.addEventListener("abort", () => clearTimeout(timer));
  listen("again", update, signal);
  update();
  return update;
}

/** A page that shows what one path answers. */
export function reading(context, title, where, draw, hint = null) {
  const body = h("div", {});
  context.root.append(heading(title), hint && h("p", { class: "lead" }, hint), body);
  return follow(body, { read: (signal) => get(where, signal), draw, signal: context.signal });
}

/** A tag of a lane's input that follows the live state. */
export function liveInput(lane, told, signal) {
  const place = h("span", { class: "live-input" });
  const draw = () => rebuild(place, inputTag(inputOf(lane, told())));
  listen("input", draw, signal);
  draw();
  return { element: place, draw };
}

/** How often something happened, as a label beside a name. */
export const times = (n) => t("times", { n: number(n) });
