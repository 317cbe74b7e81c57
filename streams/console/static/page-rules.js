// Scorecards of rules: how often people found an alert useful, and how sure that is.
import { intervals, plot } from "./charts.js";
import { reading, section, table } from "./parts.js";
import { name, number, percent, t } from "./words.js";

const shown = (row) => (row.precision === null ? t("rules.no_word") : percent(row.precision));
const range = (row) => (row.interval ? `${percent(row.interval[0])} – ${percent(row.interval[1])}` : "–");

export function show(context) {
  context.title(t("nav.rules"));
  reading(context, t("nav.rules"), "rules", (rows) => {
    const judged = rows.filter((row) => row.precision !== null);
    const bars = judged.map((row) => ({
      label: name("flag", row.flag),
      value: row.precision,
      low: row.interval?.[0] ?? row.precision,
      high: row.interval?.[1] ?? row.precision,
      note: `${percent(row.precision)} · n ${number(row.useful + row.not_useful)}`,
    }));
    const count = (key) => ({ title: t(`rules.${key}`), numeric: true, cell: (row) => number(row[key]) });
    const columns = [
      { title: t("alerts.flag"), main: true, cell: (row) => name("flag", row.flag) },
      count("raised"), count("delivered"), count("held"), count("acked"), count("snoozed"), count("useful"), count("not_useful"),
      { title: t("rules.precision"), numeric: true, cell: shown },
      { title: t("rules.interval"), numeric: true, cell: range },
    ];
    return [
      judged.length > 0 &&
        section(
          t("rules.precision"),
          {},
          plot({
            title: t("rules.plot"),
            about: t("rules.plot_about"),
            key: "precision",
            draw: (width) => intervals(width, bars, (value) => percent(value)),
          }),
        ),
      section(t("rules.table"), {}, table(t("rules.table"), columns, rows)),
    ];
  }, t("rules.hint"));
}
