// How good the models are by now: figures over what came true, the reliability curve, drift.
import { legend, plot, reliability } from "./charts.js";
import { h } from "./dom.js";
import { facts, reading, section, table } from "./parts.js";
import { figure, name, number, percent, t, time } from "./words.js";

function title(full) {
  const [base, version] = full.split(":");
  return version ? `${name("model", base)} · ${t("models.challenger", { version })}` : name("model", base);
}

function curve(model) {
  const points = (model.reliability ?? []).filter(Boolean).map(([n, mean, share]) => ({ n, mean, share }));
  // A count has no curve; a probability without one has too few labels yet.
  if (!points.length) return model.mae ? null : h("p", { class: "empty" }, t("models.no_curve"));
  return [
    plot({
      title: t("models.curve"),
      about: t("models.curve_about"),
      key: `curve ${model.name}`,
      draw: (width) => reliability(width, points, (value) => percent(value)),
      columns: [
        { title: t("models.predicted"), cell: (row) => percent(row.mean, 1), numeric: true, main: true },
        { title: t("models.true"), cell: (row) => percent(row.share, 1), numeric: true },
        { title: "n", cell: (row) => number(row.n), numeric: true },
      ],
      rows: points,
    }),
    legend(["series-a", t("models.measured")], ["chart-ideal", t("models.ideal")]),
  ];
}

const KNOWN = ["base_rate", "log_loss", "auc", "brier", "ece", "mean_y", "mean_p", "mae", "poisson_deviance"];

function model(found) {
  const shares = new Set(["base_rate"]);
  const counts = found.mae !== null && found.mae !== undefined;
  const rows = KNOWN.filter((key) => found[key] !== null && found[key] !== undefined && (counts || key !== "mean_p"));
  const drift = Object.entries(found.drift ?? {}).map(([what, each]) => ({ what, ...each }));
  const lanes = found.lanes ?? [];
  return section(
    title(found.name),
    {},
    h(
      "div",
      { class: "model" },
      h(
        "div",
        {},
        facts([
          [t("models.n"), number(found.n)],
          ...rows.map((key) => [t(`models.${key}`), shares.has(key) ? percent(found[key], 1) : figure(found[key], 3)]),
        ]),
        drift.length > 0 &&
          table(
            t("models.drift"),
            [
              { title: t("models.drift"), main: true, cell: (row) => name("drift", row.what) },
              { title: t("models.alarms"), numeric: true, cell: (row) => number(row.alarms) },
              { title: t("at"), cell: (row) => time(row.at) },
              { title: t("models.before"), numeric: true, cell: (row) => figure(row.before, 3) },
              { title: t("models.after"), numeric: true, cell: (row) => figure(row.after, 3) },
            ],
            drift,
          ),
        lanes.length > 1 &&
          h(
            "details",
            { "data-key": `lanes ${found.name}` },
            h("summary", { "data-key": `lanes summary ${found.name}` }, t("models.by_lane")),
            table(
              t("models.by_lane"),
              [
                { title: t("lane"), main: true, cell: (row) => number(row.lane), numeric: true },
                { title: "n", numeric: true, cell: (row) => number(row.n) },
                ...rows.map((key) => ({ title: t(`models.${key}`), numeric: true, cell: (row) => (shares.has(key) ? percent(row[key], 1) : figure(row[key], 3)) })),
              ],
              lanes,
            ),
          ),
      ),
      h("div", {}, curve(found)),
    ),
  );
}

export function show(context) {
  context.title(t("nav.models"));
  const draw = (models) => (models.length ? h("div", { class: "models" }, models.map(model)) : h("p", { class: "empty" }, t("models.none")));
  reading(context, t("nav.models"), "models", draw, t("models.hint"));
}
