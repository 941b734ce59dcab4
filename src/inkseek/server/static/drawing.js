// A drawing with its history: every step is a whole list of strokes, so undo and redo only move along.

export class Drawing extends EventTarget {
  #past = [];
  #future = [];
  #strokes = [];

  get strokes() { return this.#strokes; }
  get isEmpty() { return this.#strokes.length === 0; }
  get canUndo() { return this.#past.length > 0; }
  get canRedo() { return this.#future.length > 0; }

  add(stroke) { this.#step([...this.#strokes, stroke]); }

  /** Take some strokes out; one step, however many. */
  remove(strokes) {
    if (strokes.size > 0) this.#step(this.#strokes.filter((stroke) => !strokes.has(stroke)));
  }

  clear() {
    if (!this.isEmpty) this.#step([]);
  }

  undo() { this.#move(this.#past, this.#future); }
  redo() { this.#move(this.#future, this.#past); }

  #step(strokes) {
    this.#past.push(this.#strokes);
    this.#future = [];
    this.#show(strokes);
  }

  #move(from, to) {
    if (from.length === 0) return;
    to.push(this.#strokes);
    this.#show(from.pop());
  }

  #show(strokes) {
    this.#strokes = strokes;
    this.dispatchEvent(new Event("change"));
  }
}
