// Leaderboards: who needs somebody first, by one measure.
import { h, s } from "./dom.js";
import { customerLink, follow, heading, table, tag } from "./parts.js";
import { get, path, query } from "./server.js";
import { figure, name, number, percent, t, time } from "./words.js";

// A look along the bars says more than a column of numbers.
const bar = (share) =>
  s(
    "svg",
    { class: "share", viewBox: "0 0 96 8", width: 96, height: 8, "aria-hidden": "true" },
    s("rect", { width: 96, height: 8, rx: 1, class: "bar-none" }),
    s("rect", { width: Math.max(1, 96 * share), height: 8, rx: 1, class: "bar-plain" }),
  );

const BOARDS = ["churn", "engagement_drop", "sensitive", "value_at_risk"];

function score(board, value) {
  if (board === "churn") return percent(value, 1);
  if (board === "sensitive") return time(value, true);
  return board === "value_at_risk" ? number(value, 2) : figure(value, 2);
}

export function show(context) {
  const { root, signal, parameters } = context;
  const board = BOARDS.includes(parameters[0]) ? parameters[0] : "churn";
  context.title(t("nav.leaders"));
  const link = (each) =>
    h("a", { class: "tab", href: `#/leaders/${each}`, "aria-current": each === board ? "page" : null }, t(`leaders.${each}`));
  const body = h("div", {});
  root.append(heading(t("nav.leaders")), h("nav", { class: "tabs", "aria-label": t("nav.leaders") }, BOARDS.map(link)));
  root.append(h("p", { class: "lead" }, t(`leaders.${board}_hint`)), body);
  const columns = [
    { title: "#", numeric: true, cell: (_, i) => number(i + 1) },
    { title: t("customer"), main: true, cell: (row) => [customerLink(row.customer_id, { "data-key": row.customer_id }), row.sensitive && tag(t("sensitive"), { tone: "rose", shape: "sensitive" })] },
    { title: t(`leaders.${board}_score`), numeric: true, cell: (row) => [board === "churn" && bar(row.score), h("span", { class: "share-text" }, score(board, row.score))] },
    board !== "churn" && { title: t("score.churn"), numeric: true, cell: (row) => percent(row.churn, 1) },
    { title: t("band"), cell: (row) => (row.churn_band ? name("band", row.churn_band) : "–") },
    { title: t("stage"), cell: (row) => (row.stage ? name("stage", row.stage) : "–") },
    { title: t("flags_up"), numeric: true, cell: (row) => number(row.flags_up) },
    { title: t("value"), numeric: true, cell: (row) => figure(row.value, 2) },
  ].filter(Boolean);
  const draw = (found) => h("div", { class: "panel" }, table(t(`leaders.${board}`), columns, found.rows, { empty: t("leaders.none") }));
  follow(body, { read: () => get(path`leaders/${board}` + query({ n: 50 }), signal), draw, signal });
}
