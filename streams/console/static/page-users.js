// Accounts: made by an admin, with a one-time link to set the password.
import { h, rebuild } from "./dom.js";
import { confirmed } from "./dialogs.js";
import { failure, field, heading, notice, section, table, tag } from "./parts.js";
import { sending } from "./page-account.js";
import { Refusal, get, path, post, session } from "./server.js";
import { name, t, time } from "./words.js";

const ROLES = ["viewer", "agent", "lead", "admin"];

const roles = (chosen, attributes = {}) =>
  h("select", attributes, ROLES.map((each) => h("option", { value: each, selected: each === chosen }, name("role", each))));

function link(found, who) {
  const text = new URL(found.link, location.href).href;
  const input = h("input", { type: "text", readonly: true, value: text, "aria-label": t("users.link"), class: "id" });
  input.addEventListener("focus", () => input.select());
  return notice("green", h("p", {}, t("users.link_for", { name: who })), input);
}

export async function show(context) {
  const { root, signal } = context;
  context.title(t("nav.users"));
  const said = h("div", {});
  const body = h("div", {});
  root.append(heading(t("nav.users")), said, body);

  async function change(who, what) {
    try {
      const found = await post(path`users/${who}`, what);
      rebuild(said, found?.link ? link(found, who) : null);
    } catch (error) {
      rebuild(said, failure(error));
    }
    await read();
  }

  function controls(user) {
    const own = user.name === session.user.name;
    if (user.external && own) return "";
    const button = (key, label, act) => h("button", { type: "button", class: "button button-small", "data-key": `${user.name} ${key}`, on: { click: act } }, label);
    const reset = async () => {
      if (await confirmed(t("users.reset"), t("users.reset_sure", { name: user.name }), t("users.reset"))) change(user.name, { reset: true });
    };
    return h(
      "div",
      { class: "acts" },
      !user.external && button("reset", t("users.reset"), reset),
      !own && button("disable", t(user.disabled ? "users.enable" : "users.disable"), () => change(user.name, { disabled: !user.disabled })),
    );
  }

  function role(user) {
    if (user.external || user.name === session.user.name) return name("role", user.role);
    const select = roles(user.role, {
      "aria-label": t("users.role_of", { name: user.name }),
      "data-key": `${user.name} role`,
      on: { change: () => change(user.name, { role: select.value }) },
    });
    return select;
  }

  const columns = [
    { title: t("account.name"), main: true, cell: (user) => [user.name, user.disabled && tag(t("users.disabled"), { tone: "amber", shape: "closed" }), user.external ? tag(t("users.external")) : user.password === false && tag(t("users.waits"), { shape: "clock" })] },
    { title: t("role"), cell: role },
    { title: t("totp.short"), cell: (user) => (user.totp ? tag(t("yes"), { tone: "green", shape: "check" }) : t("no")) },
    { title: t("users.made"), cell: (user) => time(user.created_at) },
    { title: t("users.acts"), cell: controls },
  ];

  async function read() {
    try {
      const found = await get("users", signal);
      rebuild(body, section(t("users.all"), {}, table(t("users.all"), columns, found)), maker());
    } catch (error) {
      if (signal.aborted || !(error instanceof Refusal)) return;
      rebuild(body, failure(error));
    }
  }

  function maker() {
    const who = h("input", { type: "text", required: true, maxlength: "64", autocomplete: "off", spellcheck: "false", "data-key": "new name" });
    const what = roles("agent");
    const form = sending([field(t("account.name"), who), field(t("role"), what)], t("users.make"), async () => {
      const found = await post("users", { name: who.value.trim(), role: what.value });
      rebuild(said, link(found, who.value.trim()));
      await read();
    });
    return h("div", { class: "narrow" }, section(t("users.new"), {}, form));
  }
  await read();
}
