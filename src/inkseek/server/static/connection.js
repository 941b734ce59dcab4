// Whether the server is there and how its gallery grows: one stream of events while the page is in sight.

import { ask, Offline, sleep } from "./client.js";

const RETRY = 2000; // ms between attempts to reach the server again

export class Connection extends EventTarget {
  #stream = null;
  #isSearching = false;

  constructor() {
    super();
    // A browser holds few connections to one server: pages out of sight give theirs back.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#close();
      else if (!this.#isSearching) this.open();
    });
  }

  /** Listen to the server; tells `up` at first and whenever it is back. */
  open() {
    this.#close();
    const stream = (this.#stream = new EventSource("/api/status"));
    stream.addEventListener("status", ({ data }) => {
      this.dispatchEvent(new CustomEvent("status", { detail: JSON.parse(data) }));
    });
    stream.addEventListener("problem", ({ data }) => {
      this.dispatchEvent(new CustomEvent("problem", { detail: JSON.parse(data).detail }));
    });
    stream.addEventListener("error", () => {
      if (this.#stream === stream) this.lost();
    });
    this.dispatchEvent(new Event("up"));
  }

  /** Something could not be reached: look for the server until it answers. */
  async lost() {
    if (this.#isSearching) return;
    this.#isSearching = true;
    this.#close();
    for (let isThere = false; !isThere;) {
      isThere = await ask("/healthz").then(() => true, (error) => !(error instanceof Offline));
      if (!isThere) this.dispatchEvent(new Event("down"));
      await sleep(RETRY);
    }
    this.#isSearching = false;
    if (!document.hidden) this.open();
  }

  #close() {
    this.#stream?.close();
    this.#stream = null;
  }
}
