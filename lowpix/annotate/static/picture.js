// The photograph on the canvas, its labels over it, the marked pixel, and the lens beside it.

const CELLS = 31; // shown by the lens, on a side

export const OVERLAYS = ["outlines", "filled with colour", "off"];

export class Picture {
  /** @param {HTMLCanvasElement} canvas @param {HTMLCanvasElement} lens */
  constructor(canvas, lens) {
    this.canvas = canvas;
    this.lens = lens;
    this.photo = null;
    this.size = null; // of the photograph: height, width
    this.cells = null; // of the size of work
    this.labels = null;
    this.colours = [];
    this.overlay = 0;
    this.layers = []; // the overlays, drawn once for each new labels
    this.dots = [];
    this.mark = null; // row, column
    this.own = false; // whether the person chose the pixel
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  clear() {
    this.photo = this.size = this.cells = this.labels = this.mark = null;
    this.dots = [];
    this.layers = [];
    this.draw();
  }

  /** @param {{height: number, width: number, bytes: Uint8Array} | null} labels */
  setLabels(labels) {
    this.labels = labels;
    this.layers = [];
  }

  setColours(colours) {
    if (JSON.stringify(colours) !== JSON.stringify(this.colours)) this.layers = [];
    this.colours = colours;
  }

  /** Where the photograph lies on the canvas, in device pixels. */
  place() {
    const [height, width] = this.size;
    const scale = Math.min(this.canvas.width / width, this.canvas.height / height);
    return { scale, left: (this.canvas.width - width * scale) / 2, top: (this.canvas.height - height * scale) / 2 };
  }

  /** Row and column under a point of the window; null outside the photograph. */
  at(x, y) {
    if (!this.size) return null;
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    const { scale, left, top } = this.place();
    const row = Math.floor(((y - box.top) * ratio - top) / scale);
    const column = Math.floor(((x - box.left) * ratio - left) / scale);
    return row >= 0 && column >= 0 && row < this.size[0] && column < this.size[1] ? [row, column] : null;
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight].map((side) => Math.round(side * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    this.lens.style.visibility = "hidden";
    if (!this.size || !this.photo) return;
    const { scale, left, top } = this.place();
    context.imageSmoothingEnabled = scale < 1;
    context.drawImage(this.photo, left, top, this.size[1] * scale, this.size[0] * scale);
    const layer = this.layer();
    if (layer) {
      context.imageSmoothingEnabled = false;
      context.drawImage(layer, left, top, this.size[1] * scale, this.size[0] * scale);
    }
    if (OVERLAYS[this.overlay] !== "off") this.drawDots(context, ratio);
    if (!this.mark) return;
    const [x, y] = [left + (this.mark[1] + 0.5) * scale, top + (this.mark[0] + 0.5) * scale];
    this.drawMark(context, x, y, ratio);
    this.drawLens(x / ratio, y / ratio);
  }

  /** The overlay as a canvas at the size of work. */
  layer() {
    const mode = OVERLAYS[this.overlay];
    if (!this.labels || mode === "off") return null;
    if (!this.layers[this.overlay]) {
      const { height, width, bytes } = this.labels;
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext("2d");
      const data = context.createImageData(width, height);
      const pixels = new Uint32Array(data.data.buffer);
      const alpha = mode === "outlines" ? 255 : 102;
      const table = new Uint32Array(256);
      this.colours.forEach(([red, green, blue], label) => {
        table[label] = ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
      });
      for (let row = 0, at = 0; row < height; row++) {
        for (let column = 0; column < width; column++, at++) {
          const label = bytes[at];
          if (mode === "outlines") {
            const same = (column === 0 || bytes[at - 1] === label) && (column === width - 1 || bytes[at + 1] === label)
              && (row === 0 || bytes[at - width] === label) && (row === height - 1 || bytes[at + width] === label);
            if (same) continue;
          }
          pixels[at] = table[label];
        }
      }
      context.putImageData(data, 0, 0);
      this.layers[this.overlay] = canvas;
    }
    return this.layers[this.overlay];
  }

  drawDots(context, ratio) {
    const { scale, left, top } = this.place();
    for (const [row, column, label] of this.dots) {
      context.beginPath();
      context.arc(left + (column + 0.5) * scale, top + (row + 0.5) * scale, 3 * ratio, 0, 7);
      context.fillStyle = this.colours[label] ? `rgb(${this.colours[label]})` : "#fff8";
      context.fill();
      context.lineWidth = ratio;
      context.strokeStyle = "#000";
      context.stroke();
    }
  }

  /** A cross with a gap, black on white, so that it is seen on every ground and covers nothing. */
  drawMark(context, x, y, ratio) {
    for (const [colour, width] of [["#000", 5], ["#fff", 2.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + dx * 9 * ratio, y + dy * 9 * ratio);
        context.lineTo(x + dx * 24 * ratio, y + dy * 24 * ratio);
      }
      if (this.own) context.rect(x - 9 * ratio, y - 9 * ratio, 18 * ratio, 18 * ratio);
      else {
        context.moveTo(x + 9 * ratio, y);
        context.arc(x, y, 9 * ratio, 0, 7);
      }
      context.stroke();
    }
  }

  /** The photograph around the pixel, magnified, without any overlay. */
  drawLens(x, y) {
    const { lens } = this;
    const side = lens.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    lens.width = lens.height = Math.round(side * ratio);
    const context = lens.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.fillStyle = "#777";
    context.fillRect(0, 0, lens.width, lens.height);
    const [rows, columns] = this.size;
    const cell = Math.max(rows / this.cells[0], columns / this.cells[1]); // pixels of the photograph
    const span = CELLS * cell;
    const shrink = this.photo.width / columns; // the photograph may be shown at a smaller size
    const zoom = lens.width / span;
    const [row, column] = this.mark;
    const [top, left] = [row + 0.5 - span / 2, column + 0.5 - span / 2];
    context.drawImage(this.photo, left * shrink, top * shrink, span * shrink, span * shrink, 0, 0, lens.width, lens.height);
    const half = (Math.max(cell, 1) * zoom) / 2;
    for (const [colour, width] of [["#000", 3], ["#fff", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.strokeRect(lens.width / 2 - half, lens.height / 2 - half, 2 * half, 2 * half);
    }
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const away = 36;
    const toRight = x + away + side <= width || x < width / 2;
    lens.style.left = `${Math.max(4, Math.min(width - side - 4, toRight ? x + away : x - away - side))}px`;
    lens.style.top = `${Math.max(4, Math.min(height - side - 4, y - side / 2))}px`;
    lens.style.visibility = "visible";
  }
}
