// Talks to the console's server: JSON both ways, the session's CSRF token, and its refusals as errors with a text.
import { t, name } from "./words.js";

const BASE = new URL("api/", document.baseURI);

/** A refusal, or no answer at all (status 0). `code` is one of the contract. */
export class Refusal extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.detail ?? problem.title ?? String(status));
    this.status = status;
    this.code = problem.code ?? (status === 0 ? "unreachable" : "unknown");
    this.retryAfter = retryAfter;
  }

  /** What to tell a person. */
  get text() {
    const text = name("error", this.code);
    const wait = this.retryAfter ? ` ${t("retry_after", { n: Number(this.retryAfter) })}` : "";
    const known = text !== this.code;
    const said = this.code === "invalid" || this.code === "intake" || !known ? ` ${this.message}` : "";
    return `${known ? text : t("error.unknown")}${wait}${said}`;
  }
}

export const session = { user: null, csrf: "", read_only: false, oidc: null, setup: false, version: "", prefix: "" };

const ROLES = ["viewer", "agent", "lead", "admin"];

/** Whether who is here may do what a role may. */
export const may = (role) => ROLES.indexOf(session.user?.role) >= ROLES.indexOf(role);

/** Whether who is here may act on alerts, and acts would go anywhere. */
export const mayAct = (role = "agent") => !session.read_only && may(role);

// What a page asks by itself must not keep the session of somebody who has left alive.
const PRESENT_MS = 60_000;
let touchedAt = Date.now();
for (const kind of ["pointerdown", "keydown", "wheel", "touchstart"]) {
  window.addEventListener(kind, () => (touchedAt = Date.now()), { capture: true, passive: true });
}

async function ask(path, options = {}) {
  let answer;
  const headers = { ...options.headers, ...(Date.now() - touchedAt > PRESENT_MS ? { "X-Henji-Background": "1" } : {}) };
  try {
    answer = await fetch(new URL(path, BASE), { credentials: "same-origin", cache: "no-store", ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, {});
  }
  const text = await answer.text();
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    body = null;
  }
  if (answer.ok) return body;
  const refusal = new Refusal(answer.status, body ?? {}, answer.headers.get("Retry-After"));
  if (refusal.code === "unauthenticated" && session.user) {
    session.user = null;
    window.dispatchEvent(new CustomEvent("henji:signed-out"));
  }
  throw refusal;
}

/** Read. */
export const get = (path, signal) => ask(path, { signal });

/** Change something. A token that was of an older session is asked for anew, once. */
export async function post(path, body = {}, method = "POST", again = true) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": session.csrf };
  try {
    return await ask(path, { method, headers, body: JSON.stringify(body) });
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== "csrf" || !again) throw error;
    await readSession();
    return post(path, body, method, false);
  }
}

/** Learn who is here. */
export async function readSession() {
  const found = await get("session");
  const { user } = session;
  Object.assign(session, found);
  if (user && !found.user) window.dispatchEvent(new CustomEvent("henji:signed-out"));
  return session;
}

/** A path with ids in it; each is one segment, whatever it contains. */
export const path = (strings, ...ids) =>
  strings.reduce((text, part, i) => text + encodeURIComponent(ids[i - 1]) + part);

/** Query text of those values that are there. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
