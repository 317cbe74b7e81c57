// The scene: what happened between the customer (left) and us (right), across channels, oldest first.
import { h } from "./dom.js";
import { tag } from "./parts.js";
import { clock, dayOf, exact, name, number, t } from "./words.js";

const CUSTOMER = new Set(["request", "complaint", "suggestion", "feedback", "purchase", "payment", "signup", "cancel"]);
const OURS = new Set(["handling", "resolved", "outreach", "promotion"]);
const PASSING = new Set(["session", "view", "interact", "received"]);

const sideOf = (kind) => (OURS.has(kind) ? "ours" : CUSTOMER.has(kind) ? "theirs" : PASSING.has(kind) ? "passing" : "other");

const TONES = { complaint: "red", feedback: "amber", request: "accent", resolved: "green", cancel: "red" };

function said(kind, detail) {
  if (detail === null || detail === undefined || detail === "") return null;
  if (kind === "feedback") return t("scene.score", { score: number(detail, 1) });
  if (kind === "view") return detail > 1 ? t("scene.views", { n: detail }) : null;
  if (kind === "purchase") return number(detail, 2);
  return name("detail", detail);
}

function bubble([at, kind, category, channel, caseId, detail], about) {
  const side = sideOf(kind);
  const low = kind === "feedback" && detail !== null && detail <= 2;
  const words = [
    h("span", { class: "trace-kind" }, name("kind", kind)),
    said(kind, detail) && h("span", { class: "trace-detail" }, said(kind, detail)),
    category && category !== "*" && h("span", { class: "category" }, category),
    channel && h("span", { class: "trace-channel" }, name("channel", channel)),
    caseId && h("span", { class: about.caseId === caseId ? "trace-case is-case" : "trace-case" }, t("scene.case", { id: caseId })),
  ];
  const tone = low ? "red" : (TONES[kind] ?? "plain");
  return h(
    "li",
    { class: `trace trace-${side} tone-${tone}` },
    h("span", { class: "visually-hidden" }, t(`side.${side === "passing" ? "theirs" : side}`), ": "),
    h("div", { class: "trace-body" }, words),
    h("time", { class: "trace-time", datetime: new Date(at).toISOString(), title: exact(at) }, clock(at)),
  );
}

/**
 * A conversation of traces `[at, kind, category, channel, case_id, detail]`, oldest first.
 * `caseId` marks the traces of one case.
 */
export function scene(traces, { caseId = null } = {}) {
  if (!traces?.length) return h("p", { class: "empty" }, t("scene.none"));
  const items = [];
  let last = null;
  for (const trace of traces) {
    const date = dayOf(trace[0]);
    if (date !== last) items.push(h("li", { class: "trace-day" }, h("span", {}, date)));
    last = date;
    items.push(bubble(trace, { caseId }));
  }
  return h(
    "div",
    { class: "scene" },
    h("div", { class: "scene-sides", "aria-hidden": "true" }, h("span", {}, t("side.theirs")), h("span", {}, t("side.ours"))),
    h("ol", { class: "traces" }, items),
  );
}

/** What to say and what not to. */
export function guidance(found, chosen) {
  if (!found) return null;
  const part = (key, tone, shape, text) =>
    text && h("div", { class: `guide guide-${tone}` }, tag(t(key), { tone, shape }), h("p", {}, text));
  return h(
    "div",
    { class: "guidance" },
    part("guidance.say", "green", "check", chosen(found.say)),
    part("guidance.avoid", "red", "closed", chosen(found.avoid)),
  );
}
