// Follow alerts and show the flags of each customer, with Node alone (20 or later):
//   node examples/follow_alerts.mjs redis://localhost:6379 [PREFIX]      (or a path of a unix socket)
// With the package `redis`, or another client, the commands are the same; here is as much of the protocol as they need.
import net from 'node:net';

const [where, prefix = 'risk:'] = process.argv.slice(2);

class Redis {
  #socket; #buffer = Buffer.alloc(0); #waiting = [];

  static async connect(where) {
    const redis = new Redis();
    const url = where.includes('://') ? new URL(where) : null;
    const at = url ? { host: url.hostname, port: Number(url.port || 6379) } : { path: where };
    redis.#socket = net.connect(at);
    await new Promise((resolve, reject) => redis.#socket.once('connect', resolve).once('error', reject));
    redis.#socket.on('data', (data) => redis.#take(data));
    redis.#socket.on('close', () => redis.#waiting.splice(0).forEach(({ reject }) => reject(new Error('Redis went away'))));
    redis.#socket.on('error', () => {});
    if (url?.password) {
      await redis.ask('AUTH', ...(url.username ? [decodeURIComponent(url.username)] : []), decodeURIComponent(url.password));
    }
    return redis;
  }

  ask(...words) {
    const parts = words.map((word) => Buffer.from(String(word)));
    const chunks = parts.flatMap((part) => [`$${part.length}\r\n`, part, '\r\n']);
    this.#socket.write(Buffer.concat([`*${parts.length}\r\n`, ...chunks].map((chunk) => Buffer.from(chunk))));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #take(data) {
    this.#buffer = Buffer.concat([this.#buffer, data]);
    for (let found; (found = this.#read(0)); ) {
      this.#buffer = this.#buffer.subarray(found.end);
      const { resolve, reject } = this.#waiting.shift();
      if (found.value instanceof Error) reject(found.value); else resolve(found.value);
    }
  }

  // The answer that begins at `at`, with where it ends; nothing while it is not all there.
  #read(at) {
    const stop = this.#buffer.indexOf('\r\n', at);
    if (stop < 0) return null;
    const text = this.#buffer.toString('utf8', at + 1, stop);
    const kind = String.fromCharCode(this.#buffer[at]);
    let end = stop + 2;
    if (kind === '+') return { value: text, end };
    if (kind === '-') return { value: new Error(text), end };
    if (kind === ':') return { value: Number(text), end };
    const length = Number(text);
    if (length < 0) return { value: null, end };
    if (kind === '$') {
      if (this.#buffer.length < end + length + 2) return null;
      return { value: this.#buffer.toString('utf8', end, end + length), end: end + length + 2 };
    }
    const value = [];
    for (let n = 0; n < length; n += 1) {
      const one = this.#read(end);
      if (!one) return null;
      value.push(one.value);
      end = one.end;
    }
    return { value, end };
  }
}

const pairs = (flat) => Object.fromEntries((flat ?? []).flatMap((name, n) => (n % 2 ? [] : [[name, flat[n + 1]]])));

// The part of a key that is a customer: every byte but A-Za-z0-9_.~@:- as %XX.
const encode = (id) => encodeURIComponent(id).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  .replace(/%40/g, '@').replace(/%3A/g, ':');

async function flags(redis, customer) {
  const [fields, about, meta] = (await Promise.all([
    redis.ask('HGETALL', `${prefix}flags:${encode(customer)}`),
    redis.ask('HGETALL', `${prefix}customer:${encode(customer)}`),
    redis.ask('HGETALL', `${prefix}meta`),
  ])).map(pairs);
  const watermark = meta[`watermark:${about.lane}`];
  return Object.entries(fields).map(([name, text]) => {
    const [since, until, , severity] = JSON.parse(text);
    const up = until === null ? 'up' : watermark === undefined ? 'unknown' : Number(watermark) <= until ? 'up' : 'down';
    return { name, since, severity, up };
  }).sort((a, b) => a.since - b.since || (a.name < b.name ? -1 : 1));
}

async function follow() {
  let last = null;
  for (;;) {
    try {
      const redis = await Redis.connect(where);
      last ??= (await redis.ask('XREVRANGE', `${prefix}alerts`, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0';
      console.log('following');
      for (;;) {
        const answer = await redis.ask('XREAD', 'COUNT', 100, 'BLOCK', 2000, 'STREAMS', `${prefix}alerts`, last);
        for (const [id, flat] of answer?.[0]?.[1] ?? []) {
          const entry = pairs(flat);
          const line = JSON.parse(entry.line);
          // Who shows alerts to people leaves out what was held back.
          if (!entry.held) {
            console.log(`${line.op} ${line.flag} ${line.customer_id}`);
            for (const flag of await flags(redis, line.customer_id)) {
              console.log(`  ${flag.name} ${flag.severity} since ${flag.since} ${flag.up}`);
            }
          }
          last = id;
        }
      }
    } catch (error) {
      console.error(error.message);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

await follow();
