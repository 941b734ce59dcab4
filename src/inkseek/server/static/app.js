// The page: a drawing asks, the pictures answer.

import { ask, Offline, Questions } from "./client.js";
import { Connection } from "./connection.js";
import { Drawing } from "./drawing.js";
import { Grid } from "./grid.js";
import { Lightbox } from "./lightbox.js";
import { Pad } from "./pad.js";
import { DrawingQuery, FileQuery, LikeQuery } from "./query.js";

const K = 40;

const part = (id) => document.getElementById(id);
const drawing = new Drawing();
const pad = new Pad(part("canvas"), drawing);
const questions = new Questions();
const connection = new Connection();
const grid = new Grid(part("grid"));
const lightbox = new Lightbox();
const drawn = new DrawingQuery(pad);
let query = drawn;
let about = null;

// The token has become a cookie; it need not stay in the address, the history and the screenshots.
if (location.search) history.replaceState(null, "", location.pathname);

// Drawing

const widths = { pen: 1, eraser: 1 };

function tool(name) {
  const kind = name === "pen" ? "pen" : "eraser";
  pad.tool = name;
  pad.width = widths[kind];
  for (const each of ["pen", "eraser"]) part(each).setAttribute("aria-pressed", String(each === kind));
  part("erasing").hidden = kind === "pen";
  choose("width", pad.width);
  if (kind === "eraser") choose("erasing", name);
}

function setWidth(width) {
  widths[pad.tool === "pen" ? "pen" : "eraser"] = pad.width = width;
  choose("width", width);
}

const radios = (name) => [...document.querySelectorAll(`input[name="${name}"]`)];

function choose(name, value) {
  for (const radio of radios(name)) radio.checked = radio.value === String(value);
}

function onChoice(name, action) {
  for (const radio of radios(name)) radio.addEventListener("change", () => action(radio.value));
}

/** The next width up or down. */
function stepWidth(by) {
  const values = radios("width").map((radio) => Number(radio.value));
  setWidth(values[Math.min(values.length - 1, Math.max(0, values.indexOf(pad.width) + by))]);
}

const actions = {
  pen: () => tool("pen"),
  eraser: () => tool(radios("erasing").find((radio) => radio.checked).value),
  undo: () => drawing.undo(),
  redo: () => drawing.redo(),
  clear: () => drawing.become([]),
};
for (const [name, action] of Object.entries(actions)) {
  part(name).addEventListener("click", () => { if (!pad.isBusy) action(); });
}
onChoice("width", (value) => setWidth(Number(value)));
onChoice("erasing", tool);

const keys = {
  p: actions.pen,
  e: () => tool("eraser"),
  r: () => tool("rubber"),
  "[": () => stepWidth(-1),
  "]": () => stepWidth(1),
  delete: actions.clear,
};

document.addEventListener("keydown", (event) => {
  if (lightbox.isOpen || pad.isBusy || event.altKey || event.target instanceof HTMLSelectElement) return;
  const key = event.key.toLowerCase();
  const action = event.ctrlKey || event.metaKey
    ? { z: event.shiftKey ? actions.redo : actions.undo, y: actions.redo }[key]
    : keys[key];
  if (!action) return;
  event.preventDefault();
  action();
});

if (/Mac|iPhone|iPad/.test(navigator.platform)) {
  for (const hint of document.querySelectorAll("kbd[data-mac]")) hint.textContent = hint.dataset.mac;
}

function drawingChanged() {
  const count = pad.strokes.length;
  part("hint").classList.toggle("away", count > 0 || pad.isBusy);
  part("undo").disabled = !drawing.canUndo;
  part("redo").disabled = !drawing.canRedo;
  part("clear").disabled = drawing.isEmpty;
  part("canvas").setAttribute(
    "aria-label", count === 0 ? "Drawing area, empty" : `Drawing area, ${count} ${count === 1 ? "stroke" : "strokes"}`,
  );
  // A dot that may become a stroke leaves what is shown.
  if (count === 0 && pad.isBusy) return;
  if (count === 0) drawn.forget();
  query = drawn;
  search("soon");
}
drawing.addEventListener("change", drawingChanged);
pad.addEventListener("progress", drawingChanged);

// Pictures from outside

function searchWith(file) {
  query = new FileQuery(file);
  choose("domain", query.domain);
  search("now");
  scrollTo({ top: 0 });
  preview(file);
}

/** Paint a small square of the picture; one that the browser cannot read may still be searched with. */
async function preview(file) {
  const canvas = part("preview");
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  const picture = await createImageBitmap(file).catch(() => null);
  if (!picture || query.file !== file) return;
  const side = Math.min(picture.width, picture.height);
  const [left, top] = [(picture.width - side) / 2, (picture.height - side) / 2];
  context.drawImage(picture, left, top, side, side, 0, 0, canvas.width, canvas.height);
}

part("picture").addEventListener("click", () => part("file").click());
part("file").addEventListener("change", () => {
  const [file] = part("file").files;
  if (file) searchWith(file);
  part("file").value = "";
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file && !lightbox.isOpen) searchWith(file);
});
document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  part("drop").hidden = false;
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) part("drop").hidden = true; });
document.addEventListener("drop", (event) => {
  part("drop").hidden = true;
  const [file] = event.dataTransfer.files;
  if (!file) return;
  event.preventDefault();
  searchWith(file);
});
onChoice("domain", (domain) => {
  query.domain = domain;
  search("now");
});

// Searching

function search(when) {
  if (query.isEmpty) {
    questions.drop();
    setBanner("");
    showAnswer({ hits: [], within: 0 });
    return;
  }
  const folder = part("folder").value;
  const asked = query;
  // Asked when the pause is over: what was drawn may have been taken back by then.
  const question = () => (asked.isEmpty ? null : asked.question({ k: K, ...(folder && { folder }) }));
  if (when === "soon") questions.askSoon(question);
  else questions.askNow(question);
}

questions.addEventListener("asked", () => part("grid").setAttribute("aria-busy", "true"));
questions.addEventListener("answer", ({ detail: answer }) => {
  setBanner("");
  query.learn(answer);
  showAnswer(answer);
});
questions.addEventListener("failure", ({ detail: error }) => {
  part("grid").removeAttribute("aria-busy");
  if (error instanceof Offline) connection.lost();
  else {
    // A drawing that is blank to the model is no mistake of anyone's: wait for the next stroke.
    if (error.status !== 422 || query !== drawn) setBanner(error.message);
    if (error.status === 422) showAnswer({ hits: [], within: 0 });
  }
});

function vote({ detail: { id, value } }) {
  query.vote(id, value);
  grid.mark(query.votes);
  lightbox.mark();
  search("now");
}
grid.addEventListener("vote", vote);
lightbox.addEventListener("vote", vote);
part("forget").addEventListener("click", () => {
  query.forget();
  search("now");
});

grid.addEventListener("open", ({ detail: id }) => lightbox.open(grid.hits, id, query.votes));
lightbox.addEventListener("more", ({ detail: hit }) => {
  query = new LikeQuery(hit);
  search("now");
  scrollTo({ top: 0 });
});
lightbox.addEventListener("closed", ({ detail: hit }) => { if (hit) grid.focus(hit.id); });
part("back").addEventListener("click", () => {
  query = drawn;
  search("now");
  part("canvas").focus();
});
part("folder").addEventListener("change", () => search("now"));

// Showing

function showAnswer({ hits, within }) {
  const folders = part("folder");
  part("grid").removeAttribute("aria-busy");
  grid.show(hits, within, query.votes);
  folders.hidden = folders.options.length < 3; // all, and at least two to choose from
  part("heading").hidden = hits.length === 0 && query.isEmpty && folders.hidden;
  part("example").hidden = !query.hit;
  if (query.hit) part("example").src = query.hit.thumbnail;
  part("preview").hidden = part("domains").hidden = !query.file;
  part("back").hidden = query === drawn;
  part("title").textContent = query.title ?? "Pictures";
  part("count").textContent = hits.length === 0 ? "" : `${hits.length} closest`;
  part("forget").hidden = query.votes.size === 0;
  part("forget").textContent = query.votes.size === 1 ? "Forget the thumb" : `Forget ${query.votes.size} thumbs`;
  showNotice();
}

function showNotice() {
  const notice = grid.hits.length > 0 ? null : noticeOf();
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
  if (query.isEmpty) {
    return { title: "Pictures appear here while you draw", text: "A few lines are enough: the outline first, then what makes it special." };
  }
  if (part("folder").value) return { title: "Nothing found in this folder", text: "Choose another folder, or all of them." };
  if (query === drawn) return { title: "Nothing found", text: "Add a stroke, or undo the last one." };
  return { title: "Nothing found", text: "Try another picture, or go back to the drawing." };
}

function setBanner(text) {
  part("banner").textContent = text;
  part("banner").hidden = !text;
}

function showCount({ count, indexing }) {
  const pictures = `${count.toLocaleString("en")} ${count === 1 ? "picture" : "pictures"}`;
  part("about").textContent = `${about.name} · ${pictures}${indexing ? " · indexing…" : ""}`;
}

function showAbout(answer) {
  about = answer;
  showCount({ ...about, indexing: false });
  part("model").textContent = `Model ${about.model} (${about.fingerprint})`;
  part("attributions").replaceChildren(...about.attributions.map((text) => {
    const line = document.createElement("p");
    line.textContent = text;
    return line;
  }));
}

function showFolders(folders) {
  const select = part("folder");
  const chosen = select.value;
  select.replaceChildren(new Option("All folders", ""), ...folders.map(({ key, name, count }) => {
    return new Option(`${name} (${count.toLocaleString("en")})`, key);
  }));
  select.value = folders.some(({ key }) => key === chosen) ? chosen : "";
}

// The gallery, as it is and as it grows

async function readGallery() {
  try {
    const [gallery, folders] = await Promise.all([ask("/api/gallery"), ask("/api/folders")]);
    showAbout(gallery);
    showFolders(folders);
    if (pad.isBusy) showNotice();
    else search("now");
  } catch (error) {
    if (error instanceof Offline) connection.lost();
    else setBanner(error.message);
  }
}

connection.addEventListener("up", () => {
  setBanner("");
  readGallery();
});
connection.addEventListener("down", () => {
  setBanner("No connection to the server. Is inkseek serve still running? Trying again…");
});
connection.addEventListener("problem", ({ detail }) => setBanner(detail));
connection.addEventListener("status", ({ detail: status }) => {
  if (!about) return;
  const hasChanged = status.count !== about.count;
  about.count = status.count;
  showCount(status);
  // A full page waits for the next stroke, so that pictures do not move under the reader's eyes.
  if (hasChanged && grid.hits.length < K && !pad.isBusy && !lightbox.isOpen) readGallery();
});

showAnswer({ hits: [], within: 0 });
connection.open();
