// A flag set by a person: up, down, or back to the rule, with an end and a reason.
import { h, rebuild } from "./dom.js";
import { field, notice } from "./parts.js";
import { Refusal, path, post } from "./server.js";
import { name, t } from "./words.js";

/** The form of a lead. */
export function overrideForm(customer, flags) {
  const outcome = h("div", {});
  const flag = h("select", { required: true, "data-key": "override flag" }, flags.map((each) => h("option", { value: each }, name("flag", each))));
  const category = h("input", { type: "text", maxlength: "64", autocomplete: "off", spellcheck: "false" });
  const days = h("input", { type: "number", min: "1", max: "365", step: "1", value: "30", required: true, inputmode: "numeric" });
  const reason = h("textarea", { required: true, maxlength: "500", rows: "2" });
  const dayField = field(t("override.days"), days);
  const state = (value, checked) =>
    h(
      "label",
      { class: "choice" },
      h("input", { type: "radio", name: "state", value, checked, on: { change: () => set(value) } }),
      h("span", {}, t(`override.${value}`)),
    );
  const set = (value) => {
    dayField.hidden = value === "auto";
    days.disabled = value === "auto";
  };
  const submit = h("button", { class: "button button-primary" }, t("override.send"));
  const form = h(
    "form",
    {
      class: "override",
      on: {
        submit: async (event) => {
          event.preventDefault();
          const chosen = new FormData(form).get("state");
          const body = { flag: flag.value, state: chosen, reason: reason.value.trim() };
          if (category.value.trim()) body.category = category.value.trim();
          if (chosen !== "auto") body.days = Number(days.value);
          submit.disabled = true;
          rebuild(outcome, h("p", { class: "hint", role: "status" }, t("act.sending")));
          try {
            await post(path`customers/${customer}/override`, body);
            rebuild(outcome, notice("green", h("p", {}, t("override.sent"))));
            reason.value = "";
          } catch (error) {
            rebuild(outcome, notice("error", h("p", {}, error instanceof Refusal ? error.text : t("error.unknown"))));
          }
          submit.disabled = false;
        },
      },
    },
    field(t("alerts.flag"), flag),
    field(t("category"), category, t("override.category_hint")),
    h("fieldset", {}, h("legend", {}, t("state")), h("div", { class: "choices" }, state("up", true), state("down"), state("auto"))),
    dayField,
    field(t("override.reason"), reason),
    h("div", {}, submit),
    outcome,
  );
  return form;
}
