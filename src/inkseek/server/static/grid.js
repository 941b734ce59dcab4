// The pictures found, in order. A tile whose picture stays is moved, not made again, so nothing flickers while drawing.

export class Grid extends EventTarget {
  #list;
  #tiles = new Map();
  #hits = [];
  #cut = make("li", "cut", "Less alike from here on");

  constructor(list) {
    super();
    this.#list = list;
  }

  get hits() { return this.#hits; }

  /** Show hits in their order, a line after the first `within` of them, and the thumbs given. */
  show(hits, within, votes) {
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
    const inOrder = [...tiles.values()];
    inOrder.forEach((tile, i) => tile.classList.toggle("beyond", i >= within));
    if (within < hits.length) inOrder.splice(within, 0, this.#cut);
    else this.#cut.remove();
    let before = this.#list.firstElementChild;
    for (const tile of inOrder) {
      // Only tiles out of place are touched: moving one restarts its animation and drops its focus.
      if (tile === before) before = before.nextElementSibling;
      else this.#list.insertBefore(tile, before);
    }
    this.#tiles = tiles;
    this.mark(votes);
  }

  /** Show the thumbs given. */
  mark(votes) {
    for (const [id, tile] of this.#tiles) {
      const vote = votes.get(id) ?? 0;
      tile.classList.toggle("liked", vote > 0);
      tile.classList.toggle("disliked", vote < 0);
      tile.querySelector(".up").setAttribute("aria-pressed", String(vote > 0));
      tile.querySelector(".down").setAttribute("aria-pressed", String(vote < 0));
    }
  }

  focus(id) {
    this.#tiles.get(id)?.querySelector("button").focus();
  }

  #make(hit) {
    const tile = make("li");
    const open = make("button", "open");
    const picture = make("img");
    const caption = make("span", "caption");
    open.type = "button";
    open.title = hit.name;
    picture.loading = "lazy";
    picture.decoding = "async";
    picture.alt = "";
    picture.src = hit.thumbnail;
    caption.append(make("span", "", hit.name), make("span", "score"));
    open.append(picture, caption);
    open.addEventListener("click", () => this.dispatchEvent(new CustomEvent("open", { detail: hit.id })));
    const thumbs = make("div", "thumbs");
    thumbs.append(this.#thumb(hit, "up", 1), this.#thumb(hit, "down", -1));
    tile.append(open, thumbs);
    return tile;
  }

  #thumb(hit, direction, value) {
    const button = make("button", `thumb ${direction}`);
    button.type = "button";
    button.setAttribute("aria-label", `Thumb ${direction}: ${hit.name}`);
    button.title = value > 0 ? "More like this" : "Less like this";
    button.append(icon(`icon-${direction}`));
    const detail = { id: hit.id, value };
    button.addEventListener("click", () => this.dispatchEvent(new CustomEvent("vote", { detail })));
    return button;
  }
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  return svg;
}
