// One picture, large: where it is, how like the drawing, and the way to more like it.

import { pictureOf } from "./client.js";

const part = (id) => document.getElementById(id);

export class Lightbox extends EventTarget {
  #dialog = part("lightbox");
  #hits = [];
  #position = 0;
  #votes = new Map();

  constructor() {
    super();
    part("close").addEventListener("click", () => this.#dialog.close());
    part("previous").addEventListener("click", () => this.#step(-1));
    part("next").addEventListener("click", () => this.#step(1));
    part("copy").addEventListener("click", () => this.#copy());
    for (const [id, value] of [["lightbox-up", 1], ["lightbox-down", -1]]) {
      part(id).addEventListener("click", () => {
        this.dispatchEvent(new CustomEvent("vote", { detail: { id: this.#hit.id, value } }));
      });
    }
    part("more").addEventListener("click", () => {
      const hit = this.#hit;
      this.#hits = [];
      this.#dialog.close();
      this.dispatchEvent(new CustomEvent("more", { detail: hit }));
    });
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") this.#step(-1);
      if (event.key === "ArrowRight") this.#step(1);
    });
    this.#dialog.addEventListener("close", () => this.dispatchEvent(new CustomEvent("closed", { detail: this.#hit })));
  }

  get isOpen() { return this.#dialog.open; }
  get #hit() { return this.#hits[this.#position]; }

  open(hits, id, votes) {
    this.#hits = hits;
    this.#votes = votes;
    this.#position = hits.findIndex((hit) => hit.id === id);
    this.#show();
    this.#dialog.showModal();
    part("more").focus({ preventScroll: true });
  }

  /** Show the thumbs given. */
  mark() {
    const vote = this.#hit ? this.#votes.get(this.#hit.id) : 0;
    part("lightbox-up").setAttribute("aria-pressed", String(vote === 1));
    part("lightbox-down").setAttribute("aria-pressed", String(vote === -1));
  }

  #step(by) {
    const position = this.#position + by;
    if (position < 0 || position >= this.#hits.length) return;
    this.#position = position;
    this.#show();
  }

  #show() {
    const hit = this.#hit;
    const picture = part("lightbox-picture");
    // The thumbnail stands in until the picture itself is there.
    picture.src = hit.thumbnail;
    picture.alt = hit.name;
    // A small picture is shown at twice its size at most.
    picture.style.maxWidth = `min(100%, ${2 * hit.width}px)`;
    picture.style.maxHeight = `min(100%, ${2 * hit.height}px)`;
    part("lightbox-problem").textContent = "";
    const full = new Image();
    full.addEventListener("load", () => { if (this.#hit === hit) picture.src = full.src; });
    full.addEventListener("error", () => { if (this.#hit === hit) this.#explain(hit); });
    full.src = pictureOf(hit.id);
    part("lightbox-name").textContent = hit.name;
    part("lightbox-facts").textContent =
      `${hit.width} × ${hit.height} pixels · similarity ${hit.score.toFixed(2)} · ${this.#position + 1} of ${this.#hits.length}`;
    part("lightbox-path").textContent = hit.path;
    part("copy").textContent = "Copy path";
    this.mark();
    part("previous").disabled = this.#position === 0;
    part("next").disabled = this.#position === this.#hits.length - 1;
  }

  async #explain(hit) {
    const answer = await fetch(pictureOf(hit.id)).then((response) => response.json()).catch(() => ({}));
    if (this.#hit === hit) part("lightbox-problem").textContent = answer.detail ?? "The picture cannot be shown.";
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.#hit.path);
    } catch {
      // Over an open connection the clipboard is closed to scripts; a selected path is one keystroke from it.
      getSelection().selectAllChildren(part("lightbox-path"));
      part("copy").textContent = "Selected";
      return;
    }
    part("copy").textContent = "Copied";
  }
}
