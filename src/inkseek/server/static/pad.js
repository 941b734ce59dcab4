// The canvas: mouse, touch, stylus and keys to strokes, strokes to ink. It is redrawn from data: a resize loses nothing.

import { rub, touches, trace } from "./strokes.js";

const PEN = 0.011; // shares of the canvas side
const ERASER = 0.022;
const LEAST_MOVE = 0.0015;
const PALM = 60_000; // ms after a stylus was last seen during which a touch is the hand that holds it
const KEYS = "keys"; // stands for a pointer's id while the keyboard draws
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ARROW_STEP = 0.02;

export class Pad extends EventTarget {
  #canvas;
  #drawing;
  #tool = "pen"; // or: eraser (whole strokes), rubber (what it touches)
  #width = 1;
  #pointer = null; // the one pointer that draws; others are ignored until it is lifted
  #isTouch = false;
  #acting = "pen"; // the tool of the step under way
  #stylusSeen = -Infinity;
  #points = []; // the stroke under way
  #left = null; // the strokes that the eraser has left so far
  #last = null;
  #hover = null;
  #isByKeys = false; // whether the hover is the keyboard's
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
    canvas.addEventListener("pointerup", (event) => { if (event.pointerId === this.#pointer) this.#end(); });
    // The system took the pointer away (a gesture, a call).
    canvas.addEventListener("pointercancel", (event) => { if (event.pointerId === this.#pointer) this.#abandon(); });
    canvas.addEventListener("pointerleave", () => this.#hoverAt(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    // Some browsers still scroll or zoom on touches that begin here, whatever touch-action says.
    canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      if (this.#pointer === KEYS) this.#end();
      this.#hoverAt(null);
    });
  }

  get tool() { return this.#tool; }

  set tool(tool) {
    this.#tool = tool;
    this.#canvas.classList.toggle("erasing", tool !== "pen");
    this.#repaint();
  }

  /** Pen and eraser, as a share of their usual width. */
  get width() { return this.#width; }

  set width(width) {
    this.#width = width;
    this.#repaint();
  }

  get isBusy() { return this.#pointer !== null; }

  /** What is to be seen right now, the step under way included. */
  get strokes() {
    const kept = this.#left ?? this.#drawing.strokes;
    return this.#points.length > 1 ? [...kept, this.#stroke] : kept;
  }

  get #stroke() { return { points: this.#points, width: this.#width }; }
  get #radius() { return ERASER * this.#width; }

  // Pointers

  #at(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  #down(event) {
    const now = performance.now();
    if (event.pointerType === "pen") {
      this.#stylusSeen = now;
      // The hand came down before the stylus did.
      if (this.#isTouch && this.isBusy) this.#abandon();
    }
    const isTouch = event.pointerType === "touch";
    const isPalm = isTouch && now - this.#stylusSeen < PALM;
    const isEraserEnd = event.button === 5;
    if (this.isBusy || isPalm || (event.button !== 0 && !isEraserEnd)) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#isTouch = isTouch;
    this.#begin(event.pointerId, this.#at(event), isEraserEnd && this.#tool === "pen" ? "eraser" : this.#tool);
  }

  #move(event) {
    if (event.pointerType === "pen") this.#stylusSeen = performance.now();
    this.#isByKeys = false;
    this.#hoverAt(this.#at(event));
    if (event.pointerId !== this.#pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length > 0 ? events : [event]) this.#extend(this.#at(each));
    this.#progress();
  }

  // Keys: arrows move a cross, the space bar lowers and lifts the tool.

  #key(event) {
    const arrow = ARROWS[event.key];
    const isSpace = event.key === " ";
    const isEscape = event.key === "Escape" && this.#pointer === KEYS;
    const isOther = this.isBusy && this.#pointer !== KEYS;
    if (event.ctrlKey || event.metaKey || event.altKey || isOther || !(arrow || isSpace || isEscape)) return;
    event.preventDefault();
    const from = this.#hover ?? [0.5, 0.5];
    const step = event.shiftKey ? ARROW_STEP / 4 : ARROW_STEP;
    const to = arrow ? from.map((value, i) => Math.min(1, Math.max(0, value + arrow[i] * step))) : from;
    this.#isByKeys = true;
    this.#hoverAt(to);
    if (isEscape) this.#abandon();
    else if (isSpace && !event.repeat) {
      if (this.isBusy) this.#end();
      else this.#begin(KEYS, to, this.#tool);
    } else if (arrow && this.isBusy) {
      this.#extend(to);
      this.#progress();
    }
  }

  // One step: begun, extended, and either ended or abandoned

  #begin(pointer, point, tool) {
    this.#pointer = pointer;
    this.#acting = tool;
    this.#last = point;
    if (tool === "pen") this.#points = [point];
    else this.#eraseTo(point);
    this.#progress();
  }

  #extend(point) {
    if (Math.hypot(point[0] - this.#last[0], point[1] - this.#last[1]) < LEAST_MOVE) return;
    if (this.#acting === "pen") this.#points.push(point);
    else this.#eraseTo(point);
    this.#last = point;
  }

  #end() {
    const strokes = this.#acting === "pen" ? [...this.#drawing.strokes, this.#stroke] : this.#left;
    this.#rest();
    this.#drawing.become(strokes);
  }

  /** The step under way never happened. */
  #abandon() {
    this.#rest();
    this.#progress();
  }

  #rest() {
    this.#pointer = this.#last = this.#left = null;
    this.#isTouch = false;
    this.#points = [];
  }

  #eraseTo(point) {
    const left = this.#left ?? this.#drawing.strokes;
    const reach = (stroke) => this.#radius + (PEN * stroke.width) / 2;
    this.#left = this.#acting === "eraser"
      ? left.filter((stroke) => !touches(stroke, this.#last, point, reach(stroke)))
      : left.flatMap((stroke) => rub(stroke, this.#last, point, reach(stroke)));
  }

  // Showing

  #hoverAt(point) {
    this.#hover = point;
    this.#repaint();
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
    const dot = this.#points.length === 1 ? [this.#stroke] : [];
    for (const { points, width } of [...this.strokes, ...dot]) {
      context.lineWidth = PEN * width * side;
      trace(context, points, side);
      context.stroke();
    }
    if (this.#hover) this.#paintCursor(context, side);
  }

  /** The eraser's reach, or a cross where the keyboard's pen is. */
  #paintCursor(context, side) {
    const [x, y] = this.#hover.map((value) => value * side);
    context.lineWidth = 1.5 * devicePixelRatio;
    context.beginPath();
    if (this.#tool !== "pen") {
      context.arc(x, y, this.#radius * side, 0, 2 * Math.PI);
    } else if (this.#isByKeys) {
      const arm = 0.018 * side;
      context.moveTo(x - arm, y);
      context.lineTo(x + arm, y);
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
    }
    context.stroke();
  }
}
