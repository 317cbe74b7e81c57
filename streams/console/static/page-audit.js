// Who saw and changed what.
import { h, rebuild } from "./dom.js";
import { failure, heading, table } from "./parts.js";
import { Refusal, get, query } from "./server.js";
import { name, t, time } from "./words.js";

const PAGE = 100;

export async function show(context) {
  const { root, signal } = context;
  context.title(t("nav.audit"));
  const body = h("div", { class: "panel" });
  const foot = h("div", { class: "queue-foot" });
  root.append(heading(t("nav.audit")), h("p", { class: "lead" }, t("audit.hint")), body, foot);
  const rows = [];
  const detail = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
  const columns = [
    { title: t("at"), cell: (row) => time(row.at) },
    { title: t("audit.who"), main: true, cell: (row) => row.who ?? "–" },
    { title: t("audit.what"), cell: (row) => name("audit", row.what) },
    { title: t("audit.about"), cell: (row) => h("span", { class: "id" }, row.about ?? "–") },
    { title: t("audit.detail"), cell: (row) => h("span", { class: "wrap" }, detail(row.detail)) },
  ];
  async function more() {
    try {
      const found = await get(`audit${query({ before: rows.at(-1)?.id, limit: PAGE })}`, signal);
      rows.push(...found);
      rebuild(body, table(t("nav.audit"), columns, rows));
      rebuild(foot, found.length === PAGE && h("button", { type: "button", class: "button", "data-key": "more", on: { click: more } }, t("audit.more")));
    } catch (error) {
      if (signal.aborted || !(error instanceof Refusal)) return;
      rebuild(rows.length ? foot : body, failure(error));
    }
  }
  await more();
}
