// Talking to the server: the latest question wins, older ones are abandoned.

const PAUSE = 120; // ms without a change before asking
const PATIENCE = 400; // ms after which a long stroke is asked about all the same

/** The server cannot be reached. */
export class Offline extends Error {}

/** Fetch JSON; throws Offline, or an Error whose message is the server's own and that carries its status. */
export async function ask(url, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Offline(error.message);
  }
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({}));
  throw Object.assign(new Error(body.detail ?? `The server answered ${response.status}.`), { status: response.status });
}

/** Asks questions one after the other, of which only the last matters. */
export class Questions extends EventTarget {
  #current = null;
  #timer = 0;
  #waitingSince = 0;
  #last = null;

  /** Ask once nothing has changed for a moment; `question` is called then, and gives [url, options]. */
  askSoon(question) {
    const now = performance.now();
    if (!this.#timer) this.#waitingSince = now;
    clearTimeout(this.#timer);
    const pause = Math.max(0, Math.min(PAUSE, this.#waitingSince + PATIENCE - now));
    this.#timer = setTimeout(() => this.askNow(question), pause);
  }

  async askNow(question) {
    this.drop();
    this.#last = question;
    const controller = (this.#current = new AbortController());
    this.dispatchEvent(new Event("asked"));
    const [url, options] = question();
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

  /** Ask the last question again, if there was one. */
  askAgain() {
    if (this.#last) this.askNow(this.#last);
  }

  /** Give up what is under way. */
  drop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#last = null;
    this.#current?.abort();
    this.#current = null;
  }
}

export function drawingQuestion(strokes, k) {
  return ["/api/search", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ strokes, k, domain: "sketch" }),
  }];
}

export const similarQuestion = (id, k) => [`/api/pictures/${id}/similar?k=${k}`, {}];
export const thumbnailOf = (id) => `/api/thumbnails/${id}`;
export const pictureOf = (id) => `/api/pictures/${id}`;
