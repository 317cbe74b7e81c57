// One alert of a queue.
import { actButtons, isSnoozed } from "./acts.js";
import { h } from "./dom.js";
import { customerLink, flagName, inputTag, tag } from "./parts.js";
import { inputOf } from "./live.js";
import { mayAct, path } from "./server.js";
import { ago, chosen, name, number, percent, t, time } from "./words.js";

/** Priority 1 to 5: a number in a shape, so that neither colour nor shape is needed to tell. */
export function priority(alert) {
  const now = alert.lifted ?? alert.priority;
  const title = now === alert.priority ? t("priority.is", { n: now }) : t("priority.lifted", { n: now, from: alert.priority });
  return h(
    "span",
    { class: `priority priority-${Math.min(Math.max(now, 1), 5)}`, title },
    h("span", { class: "visually-hidden" }, title),
    h("span", { "aria-hidden": "true" }, number(now), now < alert.priority ? "↑" : ""),
  );
}

/** What people said of an alert, and where it stands. */
export function states(alert) {
  const by = (who) => who || t("somebody");
  return [
    alert.sensitive && alert.flag !== "sensitive_contact" && alert.flag !== "sensitive" &&
      tag(t("sensitive"), { tone: "rose", shape: "sensitive" }),
    alert.closed_at !== null && tag(t("state.closed", { when: ago(alert.closed_at) }), { shape: "closed" }),
    alert.acked_by !== null &&
      tag(t("state.acked", { by: by(alert.acked_by) }), { tone: "green", shape: "check" }),
    isSnoozed(alert) &&
      tag(t("state.snoozed", { until: ago(alert.snoozed_until) }), { tone: "accent", shape: "clock", title: alert.snooze_reason }),
    alert.outcome && !mayAct() && tag(name("outcome", alert.outcome), { tone: alert.outcome === "useful" ? "green" : "amber", title: alert.outcome_by }),
    alert.held && tag(heldText(alert.held), { shape: "held" }),
  ];
}

/** Why an alert is held back. */
export function heldText(held) {
  const [reason, flag] = held.split(/:(.*)/s);
  if (reason === "inhibited") return t("held.inhibited", { flag: name("flag", flag) });
  return name("held", held);
}

/** A route, in words. */
export function routeText(route) {
  if (!route) return t("route.none");
  const [kind, who] = route.split(/:(.*)/s);
  return who === undefined ? route : `${name("route", kind)} ${who}`;
}

/** What an incident in a service looks like, in figures. */
export function serviceText(service) {
  return t("service.figures", {
    dimension: name("dimension", service.dimension),
    value: service.dimension === "channel" ? name("channel", service.value) : service.value,
    observed: number(service.observed),
    expected: number(service.expected, 1),
  });
}

/** What makes an alert stand out. */
export const kindOf = (alert) =>
  alert.flag === "service_incident" ? "incident" : alert.flag === "sensitive_contact" ? "contact" : "plain";

const isWaiting = (alert) => alert.closed_at === null && alert.standing === "waiting";

/** An alert as an entry of a list. */
export function alertRow(alert, { about = true } = {}) {
  const kind = kindOf(alert);
  const input = inputOf(alert.lane, alert.input);
  const shape = { incident: "service_incident", contact: "sensitive" }[kind];
  const mark = shape && tag(t(`mark.${kind}`), { tone: kind === "incident" ? "amber" : "rose", shape });
  const link = { href: path`#/alert/${alert.alert_id}`, class: "row-link", "data-key": `${alert.alert_id} open` };
  return [
    h("div", { class: "row-priority" }, priority(alert)),
    h(
      "div",
      { class: "row-main" },
      h(
        "h3",
        { class: "row-title" },
        h("a", link, flagName(alert.flag, alert.category)),
        mark,
        states(alert),
        input !== "fresh" && alert.closed_at === null && inputTag(input),
      ),
      h(
        "p",
        { class: "row-facts" },
        alert.service
          ? h("span", {}, serviceText(alert.service))
          : about && h("span", {}, t("customer"), " ", customerLink(alert.customer_id, { "data-key": `${alert.alert_id} customer` })),
        h("span", {}, name("severity", alert.severity)),
        alert.count > 1 && h("span", {}, t("times", { n: number(alert.count) })),
        h("span", {}, t("since"), " ", time(alert.since, true)),
        alert.until !== null && alert.closed_at === null && h("span", {}, t("until"), " ", time(alert.until, true)),
        alert.route && h("span", {}, "→ ", routeText(alert.route)),
        alert.scores?.churn !== undefined && h("span", {}, t("score.churn"), " ", percent(alert.scores.churn)),
      ),
      kind === "contact" && isWaiting(alert) && alert.guidance &&
        h("p", { class: "row-say" }, h("strong", {}, t("guidance.say")), " ", chosen(alert.guidance.say)),
    ),
    h("div", { class: "row-acts" }, actButtons(alert)),
  ];
}

const STANDINGS = ["incident", "waiting", "acked", "snoozed"];

/** The order of the queue: incidents, then waiting by (lifted priority, since), then acknowledged, then snoozed. */
export function queueOrder(a, b) {
  return (
    STANDINGS.indexOf(a.standing) - STANDINGS.indexOf(b.standing) ||
    (a.lifted ?? a.priority) - (b.lifted ?? b.priority) ||
    a.since - b.since ||
    (a.alert_id < b.alert_id ? -1 : 1)
  );
}
