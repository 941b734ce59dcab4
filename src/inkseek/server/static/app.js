// The page: a drawing asks, the pictures answer.

import { ask, drawingQuestion, Offline, Questions, similarQuestion, thumbnailOf } from "./client.js";
import { Drawing } from "./drawing.js";
import { Grid } from "./grid.js";
import { Lightbox } from "./lightbox.js";
import { Pad } from "./pad.js";
import { toQuickDraw } from "./strokes.js";

const K = 40;
const RETRY = 2000; // ms between attempts to reach the server again

const part = (id) => document.getElementById(id);
const drawing = new Drawing();
const pad = new Pad(part("canvas"), drawing);
const questions = new Questions();
const grid = new Grid(part("grid"));
const lightbox = new Lightbox();
let example = null; // the picture that "more like this" was asked of, if any
let about = null;

// The token has become a cookie; it need not stay in the address, the history and the screenshots.
if (location.search) history.replaceState(null, "", location.pathname);

// Drawing

function tool(name) {
  pad.tool = name;
  for (const each of ["pen", "eraser"]) part(each).setAttribute("aria-pressed", String(each === name));
}

const actions = {
  pen: () => tool("pen"),
  eraser: () => tool("eraser"),
  undo: () => drawing.undo(),
  redo: () => drawing.redo(),
  clear: () => drawing.clear(),
};
for (const [name, action] of Object.entries(actions)) {
  part(name).addEventListener("click", () => { if (!pad.isBusy) action(); });
}

document.addEventListener("keydown", (event) => {
  if (lightbox.isOpen || pad.isBusy || event.altKey) return;
  const key = event.key.toLowerCase();
  const name = event.ctrlKey || event.metaKey
    ? { z: event.shiftKey ? "redo" : "undo", y: "redo" }[key]
    : { p: "pen", e: "eraser", delete: "clear" }[key];
  if (!name) return;
  event.preventDefault();
  actions[name]();
});

if (/Mac|iPhone|iPad/.test(navigator.platform)) {
  for (const hint of document.querySelectorAll("kbd[data-mac]")) hint.textContent = hint.dataset.mac;
}

function drawingChanged() {
  const strokes = pad.strokes;
  part("hint").classList.toggle("away", strokes.length > 0 || pad.isBusy);
  part("undo").disabled = !drawing.canUndo;
  part("redo").disabled = !drawing.canRedo;
  part("clear").disabled = drawing.isEmpty;
  const count = strokes.length;
  part("canvas").setAttribute(
    "aria-label", count === 0 ? "Drawing area, empty" : `Drawing area, ${count} ${count === 1 ? "stroke" : "strokes"}`,
  );
  searchDrawing();
}
drawing.addEventListener("change", drawingChanged);
pad.addEventListener("progress", drawingChanged);

// Searching

function searchDrawing() {
  example = null;
  if (pad.strokes.length === 0) {
    // A dot that may become a stroke leaves what is shown.
    if (pad.isBusy) return;
    questions.drop();
    showHits([]);
    return;
  }
  questions.askSoon(() => drawingQuestion(toQuickDraw(pad.strokes), K));
}

function searchSimilar(hit) {
  example = hit;
  questions.askNow(() => similarQuestion(hit.id, K));
  scrollTo({ top: 0 });
}

questions.addEventListener("asked", () => part("grid").setAttribute("aria-busy", "true"));
questions.addEventListener("answer", ({ detail }) => {
  setBanner("");
  showHits(detail.hits);
});
questions.addEventListener("failure", ({ detail: error }) => {
  part("grid").removeAttribute("aria-busy");
  if (error instanceof Offline) reconnect();
  // A drawing that is blank to the model is no mistake of anyone's: wait for the next stroke.
  else if (error.status === 422 && !example) showHits([]);
  else setBanner(error.message);
});

grid.addEventListener("open", ({ detail: id }) => lightbox.open(grid.hits, id));
lightbox.addEventListener("more", ({ detail: hit }) => searchSimilar(hit));
lightbox.addEventListener("closed", ({ detail: hit }) => { if (hit) grid.focus(hit.id); });
part("back").addEventListener("click", () => {
  searchDrawing();
  part("canvas").focus();
});

// Showing

function showHits(hits) {
  part("grid").removeAttribute("aria-busy");
  grid.show(hits);
  part("heading").hidden = hits.length === 0 && !example;
  part("example").hidden = part("back").hidden = !example;
  if (example) part("example").src = thumbnailOf(example.id);
  part("title").textContent = example ? `More like ${example.name}` : "Pictures";
  part("count").textContent = hits.length === 0 ? "" : `${hits.length} closest`;
  showNotice(hits);
}

function showNotice(hits) {
  const notice = hits.length > 0 ? null : noticeOf();
  part("notice").hidden = !notice;
  if (!notice) return;
  part("notice-title").textContent = notice.title;
  part("notice-text").textContent = notice.text;
  part("notice-command").textContent = notice.command ?? "";
  part("notice-command").hidden = !notice.command;
}

function noticeOf() {
  if (about?.count === 0) {
    return {
      title: "This gallery is empty",
      text: "Fill it with a folder of pictures; they appear here without a restart.",
      command: `inkseek index FOLDER --gallery ${about.name}`,
    };
  }
  if (drawing.isEmpty && !example) {
    return { title: "Pictures appear here while you draw", text: "A few lines are enough: the outline first, then what makes it special." };
  }
  return { title: "Nothing found", text: "Add a stroke, or undo the last one." };
}

function setBanner(text) {
  part("banner").textContent = text;
  part("banner").hidden = !text;
}

function showAbout(answer) {
  about = answer;
  const pictures = `${answer.count.toLocaleString("en")} ${answer.count === 1 ? "picture" : "pictures"}`;
  part("about").textContent = `${answer.name} · ${pictures}`;
  part("model").textContent = `Model ${answer.model} (${answer.fingerprint})`;
  part("attributions").replaceChildren(...answer.attributions.map((text) => {
    const line = document.createElement("p");
    line.textContent = text;
    return line;
  }));
  showNotice(grid.hits);
}

// Being connected

let reconnecting = false;

async function reconnect() {
  if (reconnecting) return;
  reconnecting = true;
  setBanner("No connection to the server. Is inkseek serve still running? Trying again…");
  while (reconnecting) {
    await new Promise((resolve) => setTimeout(resolve, RETRY));
    await ask("/healthz").then(() => { reconnecting = false; }, () => {});
  }
  setBanner("");
  await start();
  if (example) questions.askAgain();
  else searchDrawing();
}

async function start() {
  try {
    showAbout(await ask("/api/gallery"));
  } catch (error) {
    if (error instanceof Offline) reconnect();
    else setBanner(error.message);
  }
}

// The gallery may have grown while the page was out of sight.
document.addEventListener("visibilitychange", () => { if (!document.hidden && !reconnecting) start(); });

showHits([]);
start();
