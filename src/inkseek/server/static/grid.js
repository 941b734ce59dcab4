// The pictures found, in order. A tile whose picture stays is moved, not made again, so nothing flickers while drawing.

import { thumbnailOf } from "./client.js";

export class Grid extends EventTarget {
  #list;
  #tiles = new Map();
  #hits = [];

  constructor(list) {
    super();
    this.#list = list;
  }

  get hits() { return this.#hits; }

  show(hits) {
    this.#hits = hits;
    const tiles = new Map();
    for (const hit of hits) {
      const tile = this.#tiles.get(hit.id) ?? this.#make(hit);
      const score = tile.querySelector(".score");
      score.textContent = hit.score.toFixed(2);
      score.title = `similarity ${hit.score.toFixed(4)}`;
      tiles.set(hit.id, tile);
    }
    for (const [id, tile] of this.#tiles) if (!tiles.has(id)) tile.remove();
    let before = this.#list.firstElementChild;
    for (const tile of tiles.values()) {
      // Only tiles out of place are touched: moving one restarts its animation and drops its focus.
      if (tile === before) before = before.nextElementSibling;
      else this.#list.insertBefore(tile, before);
    }
    this.#tiles = tiles;
  }

  focus(id) {
    this.#tiles.get(id)?.querySelector("button").focus();
  }

  #make(hit) {
    const tile = document.createElement("li");
    const button = document.createElement("button");
    const picture = document.createElement("img");
    const caption = document.createElement("span");
    const name = document.createElement("span");
    const score = document.createElement("span");
    button.type = "button";
    button.title = hit.name;
    picture.loading = "lazy";
    picture.decoding = "async";
    picture.alt = "";
    picture.src = thumbnailOf(hit.id);
    caption.className = "caption";
    name.textContent = hit.name;
    score.className = "score";
    caption.append(name, score);
    button.append(picture, caption);
    button.addEventListener("click", () => this.dispatchEvent(new CustomEvent("open", { detail: hit.id })));
    tile.append(button);
    return tile;
  }
}
