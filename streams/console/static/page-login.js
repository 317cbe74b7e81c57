// Getting in: name and password, a code where the account has a second factor, and the one-time link of a new account.
import { h, rebuild } from "./dom.js";
import { field, notice } from "./parts.js";
import { code, password, sending } from "./page-account.js";
import { Refusal, post, readSession, session } from "./server.js";
import { t } from "./words.js";

const card = (title, ...content) =>
  h("div", { class: "login panel" }, h("h1", { tabindex: "-1" }, h("span", { class: "brand-word" }, "henji 痕迹"), title), ...content);

/** The login; calls `entered` once somebody is in. `why` says why they are asked. */
export function showLogin(root, entered, why = null) {
  const who = h("input", { type: "text", required: true, autocomplete: "username", maxlength: "64", spellcheck: "false", autocapitalize: "none" });
  const secret = password("current-password", "password");
  const totp = code();
  totp.required = false;
  const totpField = field(t("totp.code"), totp, t("totp.code_hint"));
  totpField.hidden = true;
  const form = sending([field(t("account.name"), who), field(t("account.password"), secret), totpField], t("login.enter"), async () => {
    const body = { name: who.value.trim(), password: secret.value };
    if (!totpField.hidden && totp.value) body.totp = totp.value.replace(/\s/g, "");
    try {
      await post("login", body);
    } catch (error) {
      if (error instanceof Refusal && error.code === "totp_required") {
        const asked = !totpField.hidden;
        totpField.hidden = false;
        totp.required = true;
        totp.focus();
        if (!asked) return null;
      }
      throw error;
    }
    await readSession();
    entered();
    return null;
  });
  const { oidc } = session;
  rebuild(
    root,
    card(
      t("login.title"),
      why && notice("amber", h("p", {}, why)),
      session.setup && notice("plain", h("p", {}, t("login.setup"))),
      form,
      // No form: our policy lets forms lead to no other site.
      oidc && h("button", { type: "button", class: "button", on: { click: () => location.assign("api/oidc/start") } }, t("login.oidc", { label: oidc.label })),
    ),
  );
  who.focus();
}

/** The page of a one-time link: choose a name (of the first account) and a password. */
export function showSetup(root, token, entered) {
  const who = h("input", { type: "text", autocomplete: "username", maxlength: "64", spellcheck: "false", autocapitalize: "none", required: true });
  const first = password("new-password", "new");
  const again = password("new-password", "again");
  const form = sending(
    [field(t("account.name"), who, t("setup.name_hint")), field(t("account.new"), first, t("account.password_hint")), field(t("account.again"), again)],
    t("setup.enter"),
    async () => {
      if (first.value !== again.value) throw new Refusal(422, { code: "mismatch" });
      const { name } = await post("setup", { token, name: who.value.trim(), password: first.value });
      await post("login", { name, password: first.value });
      await readSession();
      location.hash = "#/alerts";
      entered();
    },
  );
  rebuild(root, card(t("setup.title"), form));
  who.focus();
}
