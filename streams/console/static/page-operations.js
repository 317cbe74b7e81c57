// Is the board current: lanes, lag, what became of every record, versions.
import { h } from "./dom.js";
import { facts, inputTag, reading, section, table } from "./parts.js";
import { ago, duration, number, t, time } from "./words.js";

const behind = (now, at) => (at === null || at === undefined ? "–" : now - at < 60_000 ? t("now") : duration(now - at));

function counts(found) {
  if (!found) return h("p", { class: "empty" }, t("operations.no_counts"));
  const sum = found.applied + found.duplicate + found.late + found.dead;
  return [
    h(
      "dl",
      { class: "tiles" },
      ["read", "applied", "duplicate", "late", "dead"].map((key) =>
        h("div", { class: `tile ${key === "dead" && found.dead > 0 ? "tile-amber" : ""}` }, h("dt", {}, t(`operations.${key}`)), h("dd", {}, number(found[key]))),
      ),
    ),
    h("p", { class: "hint" }, found.read === sum ? t("operations.balanced") : t("operations.unbalanced", { read: found.read, sum })),
  ];
}

export function show(context) {
  context.title(t("nav.operations"));
  const draw = (found) => {
    const columns = [
      { title: t("lane"), numeric: true, main: true, cell: (row) => number(row.lane) },
      { title: t("operations.input"), cell: (row) => inputTag(row.input) },
      { title: t("operations.input_at"), cell: (row) => time(row.input_at, true) },
      { title: t("operations.lag"), numeric: true, cell: (row) => number(row.lag) },
      { title: t("operations.watermark"), cell: (row) => time(row.watermark) },
      { title: t("operations.behind"), cell: (row) => behind(found.now, row.watermark) },
      { title: t("operations.last_event_at"), cell: (row) => time(row.last_event_at, true) },
    ];
    return [
      section(t("operations.lanes"), { hint: t("operations.lanes_hint") }, table(t("operations.lanes"), columns, found.lanes)),
      section(t("operations.records"), { hint: t("operations.records_hint") }, counts(found.counts)),
      section(
        t("operations.board"),
        {},
        facts([
          [t("operations.last_write"), found.last_write ? [time(found.last_write), ` (${ago(found.last_write, found.now)})`] : null],
          [t("operations.since"), /^\d{12,}$/.test(String(found.since)) ? time(Number(found.since)) : found.since],
          [t("operations.engine"), found.engine],
          [t("operations.contract"), found.contract],
          [t("operations.rules"), h("span", { class: "id" }, found.rules ?? "–")],
          [t("operations.desk"), h("span", { class: "id" }, found.desk ?? "–")],
        ]),
      ),
    ];
  };
  reading(context, t("nav.operations"), "operations", draw, t("operations.hint"));
}
