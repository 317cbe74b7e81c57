// One alert: what to say first, then the scene, then why.
import { actButtons, watchActs } from "./acts.js";
import { h, rebuild } from "./dom.js";
import { listen } from "./live.js";
import { customerLink, facts, flagName, follow, liveInput, section, tag } from "./parts.js";
import { heldText, kindOf, priority, routeText, serviceText, states } from "./row.js";
import { guidance, scene } from "./scene.js";
import { get, path } from "./server.js";
import { reasonBars } from "./reasons.js";
import { chosen, figure, name, number, percent, t, time } from "./words.js";

function head(alert, input) {
  const kind = kindOf(alert);
  const mark = { incident: ["amber", "service_incident"], contact: ["rose", "sensitive"] }[kind];
  return h(
    "div",
    { class: `alert-head row-${kind}` },
    h(
      "div",
      { class: "page-head" },
      priority(alert),
      h("h1", { tabindex: "-1" }, flagName(alert.flag, alert.category)),
      mark && tag(t(`mark.${kind}`), { tone: mark[0], shape: mark[1] }),
      states(alert),
      input,
    ),
    h(
      "p",
      { class: "row-facts" },
      alert.service ? h("span", {}, serviceText(alert.service)) : h("span", {}, t("customer"), " ", customerLink(alert.customer_id)),
      h("span", {}, name("severity", alert.severity)),
      h("span", {}, "→ ", routeText(alert.route)),
    ),
    h("div", { class: "row-acts" }, actButtons(alert)),
  );
}

function figures(alert) {
  return facts([
    [t("begins"), time(alert.since)],
    [t("ends"), alert.until === null ? t("until.none") : time(alert.until)],
    [t("count"), number(alert.count)],
    [t("updated"), time(alert.updated_at, true)],
    [t("alerts.route"), routeText(alert.route)],
    alert.held && [t("held.why"), heldText(alert.held)],
    alert.acked_by !== null && [t("acked"), [alert.acked_by || t("somebody"), " · ", time(alert.acked_at)]],
    alert.snoozed_until !== null && [t("snoozed"), [time(alert.snoozed_until), " · ", alert.snoozed_by || t("somebody")]],
    alert.snooze_reason && [t("snooze.reason"), alert.snooze_reason],
    alert.outcome && [t("outcome"), [name("outcome", alert.outcome), alert.outcome_by && ` · ${alert.outcome_by}`]],
    alert.closed_at !== null && [t("closed"), time(alert.closed_at)],
    [t("lane"), number(alert.lane)],
    [t("alert_id"), h("span", { class: "id" }, alert.alert_id)],
  ]);
}

function scores(alert) {
  const found = Object.entries(alert.scores ?? {});
  if (!found.length && !alert.reasons?.length) return null;
  const shown = (key, value) => (key === "engagement" ? figure(value, 1) : percent(value, 1));
  return section(
    t("scores"),
    { hint: t("scores.then") },
    facts(found.map(([key, value]) => [name("score", key), shown(key, value)])),
    alert.reasons?.length ? reasonBars(alert.reasons, alert.alert_id) : null,
  );
}

export async function show(context) {
  const { root, signal, parameters } = context;
  const id = parameters[0];
  let alert = null;
  const input = liveInput("", () => alert?.input, signal);
  const body = h("div", {});
  root.append(body);
  const draw = (found) => {
    alert = found;
    context.title(`${name("flag", alert.flag)} · ${alert.customer_id}`);
    const current = liveInput(alert.lane, () => alert.input, signal);
    const caseId = alert.scene?.length ? alert.scene[alert.scene.length - 1][4] : null;
    const service = kindOf(alert) === "incident";
    return [
      h("p", { class: "crumbs" }, h("a", { href: "#/alerts" }, t("alerts.title"))),
      head(alert, current.element),
      h(
        "div",
        { class: "columns" },
        h(
          "div",
          { class: "column" },
          alert.guidance && section(t("guidance"), {}, guidance(alert.guidance, chosen)),
          !service && section(t("scene"), { hint: t("scene.hint") }, scene(alert.scene, { caseId })),
          service && section(t("service.what"), {}, h("p", {}, serviceText(alert.service ?? {})), h("p", {}, h("a", { href: "#/service" }, t("service.see")))),
        ),
        h(
          "div",
          { class: "column column-side" },
          section(t("alert"), {}, figures(alert)),
          scores(alert),
          section(
            t("evidence"),
            { hint: t("evidence.hint") },
            alert.evidence?.length
              ? h("ul", { class: "evidence" }, alert.evidence.map((each) => h("li", { class: "id" }, each)))
              : h("p", { class: "empty" }, t("evidence.none")),
          ),
        ),
      ),
    ];
  };
  const update = follow(body, { read: () => get(path`alerts/${id}`, signal), draw, signal, every: 60_000 });
  const redraw = () => alert && rebuild(body, draw(alert));
  const take = ({ alert: changed }) => {
    if (changed.alert_id !== id || !alert) return;
    alert = { ...alert, ...changed };
    redraw();
    update();
  };
  listen("alert", take, signal);
  listen("fact", take, signal);
  watchActs((which) => which === id && redraw(), signal);
  input.draw();
  context.alertOf = (which) => (which === id ? alert : null);
  context.onlyAlert = () => alert;
}
