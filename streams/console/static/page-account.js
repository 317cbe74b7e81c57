// One's own account: password, and a second factor.
import { h, rebuild } from "./dom.js";
import { facts, field, heading, notice, section } from "./parts.js";
import { Refusal, post, readSession, session } from "./server.js";
import { name, t } from "./words.js";

/** A form that sends and says what came of it. */
export function sending(fields, label, send) {
  const outcome = h("div", {});
  const button = h("button", { class: "button button-primary" }, label);
  const form = h(
    "form",
    {
      class: "form",
      on: {
        submit: async (event) => {
          event.preventDefault();
          button.disabled = true;
          rebuild(outcome);
          try {
            const said = await send(form);
            if (said) rebuild(outcome, notice("green", h("p", {}, said)));
          } catch (error) {
            rebuild(outcome, notice("error", h("p", {}, error instanceof Refusal ? error.text : t("error.unknown"))));
          }
          button.disabled = false;
        },
      },
    },
    fields,
    h("div", {}, button),
    outcome,
  );
  return form;
}

/** A field for a password. */
export const password = (autocomplete, key) => h("input", { type: "password", required: true, autocomplete, "data-key": key, maxlength: "256" });

/** A field for a code of six digits. */
export const code = () =>
  h("input", { type: "text", inputmode: "numeric", autocomplete: "one-time-code", pattern: "[0-9 ]{6,8}", required: true, maxlength: "8" });

function passwords() {
  const old = password("current-password", "old");
  const first = password("new-password", "new");
  const again = password("new-password", "again");
  return sending(
    [field(t("account.old"), old), field(t("account.new"), first, t("account.password_hint")), field(t("account.again"), again)],
    t("account.change"),
    async (form) => {
      if (first.value !== again.value) throw new Refusal(422, { code: "mismatch" });
      await post("password", { old: old.value, new: first.value });
      await readSession();
      form.reset();
      return t("account.changed");
    },
  );
}

function factor(draw) {
  if (session.user.totp) {
    const secret = password("current-password", "totp-end");
    return sending([h("p", {}, t("totp.on")), field(t("account.password"), secret)], t("totp.end"), async () => {
      await post("totp/end", { password: secret.value });
      await readSession();
      draw();
    });
  }
  const place = h("div", {});
  const begin = async () => {
    try {
      const { secret, uri } = await post("totp/begin");
      const input = code();
      const spaced = secret.replace(/(.{4})(?=.)/g, "$1 ");
      rebuild(
        place,
        h("p", {}, t("totp.scan")),
        facts([
          [t("totp.secret"), h("code", { class: "id" }, spaced)],
          [t("totp.uri"), h("code", { class: "id uri" }, uri)],
        ]),
        sending([field(t("totp.code"), input)], t("totp.confirm"), async () => {
          await post("totp/confirm", { code: input.value.replace(/\s/g, "") });
          await readSession();
          draw();
        }),
      );
      input.focus();
    } catch (error) {
      rebuild(place, notice("error", h("p", {}, error instanceof Refusal ? error.text : t("error.unknown"))));
    }
  };
  place.append(h("p", {}, t("totp.off")), h("button", { type: "button", class: "button", on: { click: begin } }, t("totp.begin")));
  return place;
}

export function show(context) {
  context.title(t("nav.account"));
  const body = h("div", { class: "narrow" });
  context.root.append(heading(t("nav.account")), body);
  const draw = () =>
    rebuild(
      body,
      session.user.must_change && notice("amber", h("p", {}, t("account.must_change"))),
      section(t("account.who"), {}, facts([[t("account.name"), session.user.name], [t("role"), name("role", session.user.role)]])),
      section(t("account.password"), {}, passwords()),
      section(t("totp"), { hint: t("totp.hint") }, factor(draw)),
    );
  draw();
}
