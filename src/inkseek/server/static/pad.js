// The canvas: mouse, touch and stylus to strokes, strokes to ink. It is redrawn from data, so a resize loses nothing.

import { touches, trace } from "./strokes.js";

const PEN = 0.011; // shares of the canvas side
const ERASER = 0.022;
const LEAST_MOVE = 0.0015;

export class Pad extends EventTarget {
  #canvas;
  #drawing;
  #tool = "pen";
  #pointer = null; // the one pointer that draws; others are ignored until it is lifted
  #erasing = false;
  #penSeen = false;
  #points = []; // the stroke under way
  #erased = new Set(); // strokes that the eraser has met on its way
  #last = null;
  #hover = null;
  #frame = 0;

  constructor(canvas, drawing) {
    super();
    this.#canvas = canvas;
    this.#drawing = drawing;
    drawing.addEventListener("change", () => this.#repaint());
    new ResizeObserver(() => this.#paint()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#repaint());
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#cancel(event));
    canvas.addEventListener("pointerleave", () => this.#hoverAt(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    // Some browsers still scroll or zoom on touches that begin here, whatever touch-action says.
    canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  }

  get tool() { return this.#tool; }

  set tool(tool) {
    this.#tool = tool;
    this.#canvas.classList.toggle("erasing", tool === "eraser");
    this.#repaint();
  }

  get isBusy() { return this.#pointer !== null; }

  /** What is to be seen right now, the stroke or erasure under way included. */
  get strokes() {
    const kept = this.#drawing.strokes.filter((stroke) => !this.#erased.has(stroke));
    return this.#points.length > 1 ? [...kept, this.#points] : kept;
  }

  #at(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  #down(event) {
    if (event.pointerType === "pen") this.#penSeen = true;
    // Once a stylus is in use, a touch is the hand that holds it.
    const isPalm = event.pointerType === "touch" && this.#penSeen;
    const isEraserEnd = event.button === 5;
    if (this.#pointer !== null || isPalm || (event.button !== 0 && !isEraserEnd)) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    this.#erasing = this.#tool === "eraser" || isEraserEnd;
    this.#last = this.#at(event);
    if (this.#erasing) this.#eraseTo(this.#last);
    else this.#points = [this.#last];
    this.#progress();
  }

  #move(event) {
    this.#hoverAt(this.#at(event));
    if (event.pointerId !== this.#pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length > 0 ? events : [event]) {
      const point = this.#at(each);
      if (Math.hypot(point[0] - this.#last[0], point[1] - this.#last[1]) < LEAST_MOVE) continue;
      if (this.#erasing) this.#eraseTo(point);
      else this.#points.push(point);
      this.#last = point;
    }
    this.#progress();
  }

  #up(event) {
    if (event.pointerId !== this.#pointer) return;
    const [points, erased] = [this.#points, this.#erased];
    this.#rest();
    if (points.length > 0) this.#drawing.add(points);
    this.#drawing.remove(erased);
  }

  /** The system took the pointer away (a gesture, a call): the step under way never happened. */
  #cancel(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#rest();
    this.#progress();
  }

  #rest() {
    this.#pointer = this.#last = null;
    this.#points = [];
    this.#erased = new Set();
  }

  #eraseTo(point) {
    for (const stroke of this.#drawing.strokes) {
      if (touches(stroke, this.#last, point, ERASER + PEN / 2)) this.#erased.add(stroke);
    }
  }

  #hoverAt(point) {
    this.#hover = point;
    if (this.#tool === "eraser") this.#repaint();
  }

  #progress() {
    this.#repaint();
    this.dispatchEvent(new Event("progress"));
  }

  #repaint() {
    this.#frame ||= requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const side = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    if (this.#canvas.width !== side) this.#canvas.width = this.#canvas.height = side;
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    context.strokeStyle = getComputedStyle(this.#canvas).color;
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = PEN * side;
    const underWay = this.#points.length === 1 ? [this.#points] : [];
    for (const points of [...this.strokes, ...underWay]) {
      trace(context, points, side);
      context.stroke();
    }
    if (this.#tool === "eraser" && this.#hover) {
      context.lineWidth = 1.5 * devicePixelRatio;
      context.beginPath();
      context.arc(this.#hover[0] * side, this.#hover[1] * side, ERASER * side, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
