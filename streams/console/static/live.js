// Server-sent events: alerts and facts as they happen, freshness of each lane's input, and whether we hear at all.
import { session, readSession } from "./server.js";

// The server tells the freshness of the input every 5 s; three that are missing mean that the line is dead.
const SILENCE_MS = 17_000;
const RETRY_MS = [500, 1_000, 2_000, 5_000, 10_000];

const bus = new EventTarget();
let source = null;
let watchdog = null;
let retry = null;
let failures = 0;
let opened = 0;

/** `connection`: `idle`, `connecting`, `open`, `lost`. `lanes`: lane -> `fresh`, `stale`, `unknown`; `null` until told. */
export const live = { connection: "idle", lanes: null };

/** Call a listener on `alert`, `fact`, `input`, `connection` or `again` (the line is back: read anew) until aborted. */
export function listen(type, listener, signal) {
  bus.addEventListener(type, (event) => listener(event.detail), { signal });
}

const tell = (type, detail) => bus.dispatchEvent(new CustomEvent(type, { detail }));

function set(connection) {
  if (live.connection === connection) return;
  live.connection = connection;
  tell("connection", connection);
}

function heard() {
  clearTimeout(watchdog);
  watchdog = setTimeout(() => lose(), SILENCE_MS);
}

async function lose() {
  source?.close();
  source = null;
  clearTimeout(watchdog);
  clearTimeout(retry);
  set("lost");
  const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
  failures += 1;
  // A refused line looks like a broken one; the session tells whether somebody has to log in again.
  try {
    await readSession();
  } catch {
    // Not even that is answered: try the line again later.
  }
  if (session.user && live.connection === "lost") retry = setTimeout(connect, wait);
}

const parsed = (event) => JSON.parse(event.data);

function connect() {
  source?.close();
  source = new EventSource(new URL("api/events", document.baseURI));
  source.addEventListener("open", () => {
    failures = 0;
    opened += 1;
    set("open");
    heard();
    // What happened while nobody listened is on the server.
    if (opened > 1) tell("again");
  });
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) lose();
    else set("lost");
  });
  for (const type of ["alert", "fact"]) {
    source.addEventListener(type, (event) => {
      heard();
      tell(type, parsed(event));
    });
  }
  // The server could not tell everything that went by.
  source.addEventListener("reset", () => {
    heard();
    tell("again");
  });
  source.addEventListener("input", (event) => {
    heard();
    live.lanes = parsed(event).lanes;
    tell("input", live.lanes);
  });
}

/** Begin to listen, after login. */
export function start() {
  if (source || live.connection === "connecting") return;
  set("connecting");
  connect();
}

/** Stop, at logout. */
export function stop() {
  source?.close();
  source = null;
  clearTimeout(watchdog);
  clearTimeout(retry);
  opened = 0;
  live.lanes = null;
  set("idle");
}

/** Freshness of a lane's input as told last, else as a page's answer had it. */
export const inputOf = (lane, told = "unknown") => live.lanes?.[lane] ?? told ?? "unknown";
