// A drawing with its history: every step is a whole list of strokes, so undo and redo only move along.

export class Drawing extends EventTarget {
  #past = [];
  #future = [];
  #strokes = [];

  get strokes() { return this.#strokes; }
  get isEmpty() { return this.#strokes.length === 0; }
  get canUndo() { return this.#past.length > 0; }
  get canRedo() { return this.#future.length > 0; }

  /** Take a new list of strokes as the next step; the very same strokes are none. */
  become(strokes) {
    const same = strokes.length === this.#strokes.length && strokes.every((stroke, i) => stroke === this.#strokes[i]);
    if (same) return;
    this.#past.push(this.#strokes);
    this.#future = [];
    this.#show(strokes);
  }

  undo() { this.#move(this.#past, this.#future); }
  redo() { this.#move(this.#future, this.#past); }

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
