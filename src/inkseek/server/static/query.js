// What is looked for: the drawing, a picture of the gallery or a picture from outside, with the thumbs given on the way.

import { toExample } from "./strokes.js";

class Query {
  #votes = new Map(); // id -> 1 (up) or -1 (down)

  get votes() { return this.#votes; }

  /** Give a thumb up (1) or down (-1); the same again takes it back. */
  vote(id, value) {
    if (this.#votes.get(id) === value) this.#votes.delete(id);
    else this.#votes.set(id, value);
  }

  forget() { this.#votes.clear(); }

  /** The question, as [url, options] of fetch. */
  question(options) {
    const body = { examples: this.examples(), ...options };
    if (this.#votes.size === 0) return post("/api/search", body);
    const ids = (value) => [...this.#votes].filter(([, each]) => each === value).map(([id]) => id);
    return post("/api/feedback", { ...body, up: ids(1), down: ids(-1) });
  }

  /** Take over what an answer says of the query. */
  learn(_answer) {}
}

/** The strokes on the pad. */
export class DrawingQuery extends Query {
  #pad;

  constructor(pad) {
    super();
    this.#pad = pad;
  }

  get isEmpty() { return this.#pad.strokes.length === 0; }
  examples() { return [toExample(this.#pad.strokes)]; }
}

/** More like a picture of the gallery. */
export class LikeQuery extends Query {
  isEmpty = false;

  constructor(hit) {
    super();
    this.hit = hit;
  }

  get title() { return `More like ${this.hit.name}`; }
  examples() { return [{ picture: this.hit.id }]; }
}

/** A picture that was dropped, pasted or chosen. It is sent once; after that the server's word for it is enough. */
export class FileQuery extends Query {
  isEmpty = false;
  #word = null;
  #domain = "photo";

  constructor(file) {
    super();
    this.file = file;
  }

  get title() { return this.file.name; }
  get domain() { return this.#domain; }

  set domain(domain) {
    this.#domain = domain;
    this.#word = null;
    this.forget();
  }

  examples() { return [{ query: this.#word }]; }
  learn(answer) { this.#word = answer.query; }

  question(options) {
    if (this.#word) return super.question(options);
    const parameters = new URLSearchParams({ ...options, domain: this.#domain });
    const type = this.file.type.startsWith("image/") ? this.file.type : "image/*";
    return [`/api/search?${parameters}`, { method: "POST", headers: { "Content-Type": type }, body: this.file }];
  }
}

function post(url, body) {
  return [url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }];
}
