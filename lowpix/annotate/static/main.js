// The page: questions come in, key presses go out, and the next question is shown at once.

import { COMMANDS, say, showClasses, showCommands, showCounts, showEdit, showHelp, showUnsaved, speak } from "./panel.js";
import { OVERLAYS, Picture } from "./picture.js";
import { Live, Queue, ask, begin, labels } from "./server.js";
import { simulate } from "./simulate.js";

const canvas = document.getElementById("photo");
const picture = new Picture(canvas, document.getElementById("lens"));
const start = await begin();

let image = null; // number of the image on the page
let view = null; // what the server last said of it
let question = null; // the pixel that a key answers: row, column, kind
let own = null; // a pixel that the person chose: row, column
let back = null; // a question that was undone and is asked again
let since = performance.now(); // when the person began to look at it
let notice = ""; // a line that stays until the next answer
let fetched = null; // the next image, whose photograph the browser fetches ahead
let auditing = false; // an audit was asked for and has not begun: nothing else is asked meanwhile
let starting = false; // a training was asked for, and has not begun
let lost = false;
let drawn = 0; // version of the labels on the canvas
let fetching = false;
let given = new Set(); // pixels of this image that were answered on this page
let answered = 0; // key presses and clicks that answered, since the page was opened
let before = null; // answers that the image had when it was opened
let unlearnt = []; // times of key presses that the questions do not follow yet, each with the number of its answer

const queue = new Queue(start.project, acknowledged, (line) => tell(line), (count) => showUnsaved(count, lost));
const live = new Live(seen, () => { lost = true; showUnsaved(queue.requests.length, lost); });

// images

function open(number) {
  if (number === null) return;
  if (number !== image) {
    image = number;
    view = question = own = back = null;
    auditing = false;
    drawn = 0;
    given = new Set(queue.pending(number).map(({ row, column }) => `${row} ${column}`));
    before = null;
    unlearnt = [];
    history.replaceState(null, "", `#${number}`);
    picture.clear();
    load(number);
  }
  live.open(number);
}

/** The address of a photograph. It names the project, since another one on this port has other photographs. */
function photoOf(number) {
  return `/api/photo/${number}?${start.project}`;
}

/** Show a photograph; again after a second if that failed. Until it is there, no key answers. */
function load(number, attempt = 0) {
  const photo = new Image();
  photo.onload = () => {
    if (image !== number) return;
    picture.photo = photo;
    since = performance.now();
    draw();
  };
  photo.onerror = () => setTimeout(() => image === number && !view?.fault && load(number, attempt + 1), 1000);
  photo.src = photoOf(number) + (attempt ? `&${attempt}` : "");
}

/** The image `step` places away; with `status`, the next one of that status, from the beginning after the end. */
function neighbour(step, status) {
  const images = view?.images ?? start.images;
  const here = images.findIndex(([id]) => id === image);
  for (let away = 1; away < images.length; away++) {
    const [id, , found] = images[(here + step * away + images.length * away) % images.length];
    if (!status || found === status) return id;
  }
  return null;
}

function leave(status) {
  queue.add({ type: "status", image, status });
  const next = neighbour(1, "open");
  if (next === null) tell("All images are done or skipped. Stop the server with Ctrl-C, or label on: nothing is lost.");
  else open(next);
}

// questions

function seen(news) {
  if (news.project !== start.project) return location.reload(); // its answers wait for their own server
  lost = false;
  showUnsaved(queue.requests.length, lost);
  if (news.image !== image) return;
  view = news;
  picture.setColours(view.classes.map(({ colour }) => colour));
  picture.size = view.size;
  picture.cells = view.cells;
  before ??= view.answers.length;
  for (const [time, number] of unlearnt) {
    if (view.learnt >= number) performance.measure("newer", { start: time, end: performance.now() });
  }
  unlearnt = unlearnt.filter(([, number]) => !(view.learnt >= number));
  const next = neighbour(1, "open");
  if (picture.photo && next !== null && next !== fetched) {
    fetched = next;
    new Image().src = photoOf(next);
  }
  auditing &&= view.questions[0]?.[2] !== "audit";
  renew();
  showLabels();
}

/** Ask on. The question on the page stays, so that no key meets another pixel than the one that was seen. */
function renew() {
  if (back && given.has(`${back[0]} ${back[1]}`)) back = null;
  const unknown = ([row, column]) => !given.has(`${row} ${column}`);
  const known = view?.answers.some(([row, column]) => question && row === question[0] && column === question[1]);
  if (!question || known || !unknown(question)) {
    question = back ?? (auditing ? null : (view?.questions ?? []).find(unknown)) ?? null;
    since = performance.now();
  }
  draw();
  if (view) describe();
}

async function showLabels() {
  if (fetching || !view || view.version === drawn) return;
  if (!view.version) {
    picture.setLabels(null);
    drawn = 0;
    draw();
    return;
  }
  fetching = true;
  const [asked, found] = [image, await labels(image).catch(() => null)];
  fetching = false;
  if (asked !== image) return showLabels();
  if (!found) return;
  picture.setLabels(found);
  drawn = found.version;
  draw();
  if (view?.version > drawn) showLabels();
}

function answer(label) {
  const pixel = own ?? question;
  if (!pixel || !picture.photo || !view?.size) return;
  const [row, column] = pixel;
  const now = performance.now();
  notice = "";
  given.add(`${row} ${column}`);
  answered += 1;
  unlearnt.push([now, before + given.size]);
  queue.add({
    type: "answer", image, row, column, answer: label, kind: own ? "shown" : question[2],
    seconds: Math.round(now - since) / 1000,
  });
  if (own && question && own[0] === question[0] && own[1] === question[1]) question = null;
  own = null;
  since = now;
  renew();
  requestAnimationFrame(() => setTimeout(() => performance.measure("painted", { start: now, end: performance.now() })));
  speak(question ? `${nameOf(label)}. Next: row ${question[0]}, column ${question[1]}.` : `${nameOf(label)}.`);
}

function acknowledged(request, result) {
  if (result.nothing || result.ignored) tell(result.nothing ?? `This pixel ${result.ignored}.`);
  if (!result.undone) return;
  const { row, column, kind, answer: label } = result.undone;
  const elsewhere = result.image !== image;
  open(result.image);
  given.delete(`${row} ${column}`);
  own = kind === "shown" ? [row, column] : null;
  if (!own) question = back = [row, column, kind];
  since = performance.now();
  const name = (view?.images ?? start.images).find(([id]) => id === result.image)?.[1];
  tell(`${nameOf(label)} was taken back${elsewhere ? `, in image ${name}` : ""}: answer again.`);
  draw();
}

// what is shown

function tell(line) {
  notice = line;
  say(line);
}

function nameOf(label) {
  return { [start.void]: "void", [start.unsure]: "unsure" }[label] ?? (view ?? start).classes[label]?.name ?? "";
}

/** The line over the photograph: the most urgent thing to know. */
function describe() {
  const counts = {};
  for (const [, , label] of view.answers) counts[label] = (counts[label] ?? 0) + 1;
  showCounts(view);
  showClasses(view.classes, counts, (label) => { answer(label); canvas.focus(); });
  const hint = view.hint === null ? "" : `No ${view.classes[view.hint].name} yet in this image: click one, or press x: there is none.`;
  const status = { done: "This image is done. An answer opens it again.", skipped: "This image was skipped. An answer opens it again." };
  if (view.fault) say(`${view.fault}. Press n for the next image.`);
  else if (notice) say(notice);
  else if (own) say("Your own pixel: press its class, or Esc.");
  else if (view.over) say(`Enough: ${view.over}. Press Enter for the next image.`);
  else if (status[view.status]) say(status[view.status]);
  else if (question?.[2] === "audit") say("Audit: a random pixel, to see how much is right.");
  else say(hint || (question ? "" : "The next question is coming."));
}

function draw() {
  picture.mark = own ?? question;
  picture.own = own !== null;
  picture.dots = [...(view?.answers ?? []), ...queue.pending(image).map((one) => [one.row, one.column, one.answer])];
  picture.draw();
}

// what keys and buttons do

const ACTIONS = {
  undo: () => queue.add({ type: "undo" }),
  unsure: () => answer(start.unsure),
  void: () => answer(start.void),
  done: () => (learnable() ? leave("done") : tell("Answer a question with a class first, or press s to skip.")),
  skip: () => leave("skipped"),
  next: () => { notice = ""; open(neighbour(1)); },
  previous: () => { notice = ""; open(neighbour(-1)); },
  absent: () => view?.hint != null && queue.add({ type: "absent", image, class: view.hint }),
  audit: () => {
    queue.add({ type: "audit", image });
    if (question?.[2] === "audit") return;
    auditing = true;
    question = null; // a key that comes before the audit must not meet another pixel than the one that was seen
    renew();
  },
  train: async () => {
    if (starting) return;
    starting = true;
    tell("A network will be trained on the images that are done, while you go on.");
    await ask("/api/train", {}).catch((fault) => tell(`${fault.message}.`));
    starting = false;
  },
  overlay: () => {
    picture.overlay = (picture.overlay + 1) % OVERLAYS.length;
    tell(`Overlay: ${OVERLAYS[picture.overlay]}.`);
    draw();
  },
  edit: () => view && showEdit(view, start.fixed, async (wanted) => { await ask("/api/classes", wanted); document.getElementById("edit").close(); }),
  help: () => view && showHelp(view.classes),
};

/** Whether the image has an answer that something can be learnt from. */
function learnable() {
  const given = queue.pending(image).map((one) => [one.row, one.column, one.answer, one.kind]);
  return [...(view?.answers ?? []), ...given].some(([, , label, kind]) => label < start.unsure && kind !== "audit");
}

function choosePixel(pixel) {
  own = pixel;
  notice = "";
  draw();
  if (view) describe();
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Move the cross by pixels of the size of work. */
function move([down, right], far) {
  if (!view?.size) return;
  const [rows, columns] = view.size;
  const step = Math.max(1, Math.round(rows / view.cells[0])) * (far ? 10 : 1);
  const [row, column] = own ?? question ?? [rows >> 1, columns >> 1];
  const within = (place, size) => Math.max(0, Math.min(size - 1, place));
  choosePixel([within(row + down * step, rows), within(column + right * step, columns)]);
}

/** The class of a key; an upper-case letter stands for the lower-case one unless it has a class of its own. */
function classOf(key) {
  const keys = (view ?? start).classes.map((one) => one.key);
  const found = keys.indexOf(key);
  return found >= 0 ? found : keys.indexOf(key.toLowerCase());
}

canvas.addEventListener("keydown", (event) => {
  const undo = event.key === "z" && (event.ctrlKey || event.metaKey);
  if (!undo && (event.ctrlKey || event.metaKey || event.altKey)) return;
  const command = undo ? "undo" : COMMANDS.find(([key]) => key === event.key || key === event.key.toLowerCase())?.at(-1);
  const label = classOf(event.key);
  const known = ARROWS[event.key] || event.key === "Escape" || command || label >= 0;
  if (known) event.preventDefault();
  if (ARROWS[event.key]) move(ARROWS[event.key], event.shiftKey);
  else if (event.repeat) return; // a held key answers once
  else if (event.key === "Escape") choosePixel(null);
  else if (label >= 0) answer(label);
  else if (command) ACTIONS[command]();
  else if (event.key.length === 1) tell(`${event.key} is no class and no command: press ? for all keys.`);
});

canvas.addEventListener("click", (event) => {
  const pixel = picture.at(event.clientX, event.clientY);
  if (pixel) choosePixel(pixel);
  canvas.focus();
});

for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", () => canvas.focus());
showCommands((action) => { if (!["edit", "help"].includes(action)) canvas.focus(); ACTIONS[action](); });
const wanted = Number(location.hash.slice(1));
const first = start.images.find(([id]) => id === wanted) ?? start.images.find(([, , status]) => status === "open") ?? start.images[0];
open(first[0]);
canvas.focus();
// for tests and benchmarks, which answer for a person
window.lowpix = {
  question: () => (picture.photo ? own ?? question : null),
  get answered() { return answered; },
  get unlearnt() { return unlearnt.length; },
};
if (start.simulate) simulate(() => (own ? null : question), () => image, answer);
