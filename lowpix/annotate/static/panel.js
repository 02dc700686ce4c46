// The lists and lines around the photograph.

const byId = (id) => document.getElementById(id);

/** An element with text or children. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Commands: key, name of the key, what it does in brief and at length, name of the action. */
export const COMMANDS = [
  ["Backspace", "⌫", "undo", "take back the last answer, also in the image before", "undo"],
  ["u", "u", "unsure", "unsure: the pixel is not asked again, and nothing is learnt", "unsure"],
  ["v", "v", "void", "void: the pixel belongs to no class", "void"],
  ["o", "o", "overlay", "outlines, colours, or the bare photograph", "overlay"],
  ["Enter", "⏎", "done", "this image is done: on to the next", "done"],
  ["s", "s", "skip", "skip this image", "skip"],
  ["p", "p", "previous", "previous image", "previous"],
  ["n", "n", "next", "next image", "next"],
  ["x", "x", "not here", "the class that the page misses is not in this image", "absent"],
  ["a", "a", "audit", "audit: 20 random pixels tell how much is right", "audit"],
  ["m", "m", "model", "train a network on the images that are done, while you go on", "train"],
  ["c", "c", "classes", "add or rename classes", "edit"],
  ["?", "?", "all keys", "this sheet", "help"],
];

export function showCommands(act) {
  byId("commands").replaceChildren(...COMMANDS.map(([, shown, brief, long, action]) => {
    const button = element("button", { type: "button", title: long }, element("kbd", {}, shown), element("span", { className: "what" }, brief));
    button.addEventListener("click", () => act(action));
    return element("li", {}, button);
  }));
}

export function showHelp(classes) {
  const rows = [
    ...classes.map(({ key, name }) => [key, name]),
    ...COMMANDS.map(([, shown, , long]) => [shown, long]),
    ["← ↑ → ↓", "move the cross; with Shift ten at a time"],
    ["Esc", "back to the question"],
  ];
  byId("help-keys").replaceChildren(...rows.map(([key, what]) => element("div", {},
    element("dt", {}, element("kbd", {}, key)), element("dd", {}, what))));
  byId("help").showModal();
}

let shown = ""; // the classes that have buttons

/** A button for each class. They stay while only counts change: a button that is pressed, or has the focus, must not go. */
export function showClasses(classes, counts, choose) {
  if (shown === JSON.stringify(classes)) {
    byId("classes").querySelectorAll(".count").forEach((count, label) => { count.textContent = String(counts[label] || ""); });
    return;
  }
  shown = JSON.stringify(classes);
  byId("classes").replaceChildren(...classes.map(({ key, name, colour }, label) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = `rgb(${colour})`;
    const button = element("button", { type: "button" }, element("kbd", {}, key), swatch,
      element("span", { className: "what" }, name), element("span", { className: "count" }, String(counts[label] || "")));
    button.addEventListener("click", () => choose(label));
    return element("li", {}, button);
  }));
}

/** Work, clicks, time and images, in words. */
export function showCounts(view) {
  const words = { preparing: "preparing the image: random pixels first", training: "training", ready: "up to date" };
  byId("name").textContent = view.name;
  const work = view.work === "training" ? `training${view.behind ? `, ${view.behind} behind` : ""}` : words[view.work] || "";
  const helped = view.helped_by ? `questions build on a network of ${view.helped_by} ${view.helped_by === 1 ? "image" : "images"}` : "";
  byId("work").textContent = [work, helped].filter(Boolean).join(" · ");
  const here = view.answers.length;
  const parts = [`${here} ${here === 1 ? "answer" : "answers"} here, ${view.clicks} in all`];
  if (view.seconds) parts.push(`${view.seconds.toFixed(1)} s each`);
  const done = view.images.filter(([, , status]) => status === "done");
  parts.push(`${done.length} of ${view.images.length} images done`);
  if (view.left) parts.push(`about ${duration(view.left)} left`);
  byId("counts").textContent = parts.join(" · ");
  showSpent(done.map(([, , , clicks]) => clicks));
  byId("network").textContent = view.network;
  byId("audit").textContent = view.audit ? auditLine(view.audit) : "";
}

/** The answers that each finished image took: the last ones in numbers, all of them as bars. */
function showSpent(spent) {
  if (!spent.length) return byId("images").replaceChildren();
  const line = element("p", {}, `Answers for the last finished images: ${spent.slice(-8).join(", ")}`);
  if (spent.length === 1) return byId("images").replaceChildren(line);
  const most = Math.max(...spent);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const bars = svg.appendChild(document.createElementNS(svg.namespaceURI, "path"));
  const mean = (some) => Math.round(some.reduce((sum, one) => sum + one, 0) / some.length);
  const few = Math.min(5, spent.length >> 1);
  bars.setAttribute("d", spent.map((count, place) => `M${place + 0.1} ${most}v${-count}h.8v${count}z`).join(""));
  svg.setAttribute("viewBox", `0 0 ${Math.max(10, spent.length)} ${most}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Answers for each of ${spent.length} finished images: ${mean(spent.slice(0, few))} at first, ${mean(spent.slice(-few))} lately, at most ${most}`);
  byId("images").replaceChildren(line, svg);
}

function auditLine({ told, wanted, looks, asked, right, low, high }) {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const parts = told < wanted ? [`Audit: ${told} of ${wanted} random pixels answered; nothing is learnt from them.`] : [];
  if (looks) {
    const often = looks > 1 ? `, at look number ${looks}, which makes it wider` : "";
    parts.push(`Audit: ${right} of ${asked} right: ${percent(low)} to ${percent(high)} of the image (95 % interval${often}).`);
  }
  return parts.join(" ");
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A sheet in which classes are renamed and added. */
export function showEdit(view, fixed, change) {
  const fault = byId("edit-fault");
  fault.textContent = fixed ? "The data set names its own classes: change them there, and start again." : "";
  byId("edit-add").hidden = fixed;
  const attempt = async (wanted) => {
    fault.textContent = "";
    try {
      await change(wanted);
      byId("new-name").value = byId("new-key").value = "";
    } catch (problem) {
      fault.textContent = problem.message;
    }
  };
  byId("edit-classes").replaceChildren(...view.classes.map(({ key, name, colour }, label) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = `rgb(${colour})`;
    const input = element("input", { value: name, maxLength: 60, disabled: fixed, ariaLabel: `name of class ${name}` });
    input.addEventListener("change", () => attempt({ class: label, name: input.value.trim() }));
    return element("li", {}, element("kbd", {}, key), swatch, input);
  }));
  byId("new-add").onclick = () => attempt({ name: byId("new-name").value.trim(), key: byId("new-key").value });
  const dialog = byId("edit");
  if (!dialog.open) dialog.showModal();
}

/** A line over the photograph; it stays until the next one. */
export function say(line) {
  if (byId("message").textContent !== line) byId("message").textContent = line;
}

/** A line for screen readers alone. */
export function speak(line) {
  byId("spoken").textContent = line;
}

export function showUnsaved(count, lost) {
  const waits = count ? `${count} not saved yet` : "";
  byId("unsaved").textContent = lost ? `no connection to the server${waits && `: ${waits}`}` : waits;
}
