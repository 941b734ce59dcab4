// Talking to the server: the latest question wins, older ones are abandoned.

const PAUSE = 120; // ms without a change before asking
const PATIENCE = 400; // ms after which a long stroke is asked about all the same
const BUSY_TRIES = 3;

/** The server cannot be reached. */
export class Offline extends Error {}

/** Fetch JSON; throws Offline, or an Error whose message is the server's own and that carries its status. */
export async function ask(url, options = {}) {
  for (let tries = 1; ; tries++) {
    const response = await reach(url, options);
    if (response.ok) return response.json();
    const wait = Number(response.headers.get("Retry-After"));
    const body = await response.json().catch(() => ({}));
    if (response.status !== 503 || !wait || tries === BUSY_TRIES) {
      const what = body.detail ?? `The server answered ${response.status}.`;
      throw Object.assign(new Error(what), { status: response.status });
    }
    await sleep(wait * 1000);
    options.signal?.throwIfAborted();
  }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Offline(error.message);
  }
}

/** Asks questions one after the other, of which only the last matters. A question gives [url, options] when called. */
export class Questions extends EventTarget {
  #current = null;
  #timer = 0;
  #waitingSince = 0;

  /** Ask once nothing has changed for a moment. */
  askSoon(question) {
    const now = performance.now();
    if (!this.#timer) this.#waitingSince = now;
    clearTimeout(this.#timer);
    const pause = Math.max(0, Math.min(PAUSE, this.#waitingSince + PATIENCE - now));
    this.#timer = setTimeout(() => this.askNow(question), pause);
  }

  async askNow(question) {
    this.drop();
    const asked = question();
    if (!asked) return;
    const controller = (this.#current = new AbortController());
    this.dispatchEvent(new Event("asked"));
    const [url, options] = asked;
    let name, detail;
    try {
      [name, detail] = ["answer", await ask(url, { ...options, signal: controller.signal })];
    } catch (error) {
      [name, detail] = ["failure", error];
    }
    if (this.#current !== controller) return;
    this.#current = null;
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Give up what is under way. */
  drop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#current?.abort();
    this.#current = null;
  }
}

export const pictureOf = (id) => `/api/pictures/${id}`;
