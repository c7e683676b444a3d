// A 2-D picture with label maps, which can be zoomed and moved.

const MOST_ZOOM = 64;

export class PictureView {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.overlay = null;
    this.opacity = 0.5;
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) this.pan(event.movementX, event.movementY);
    });
  }

  /** Show an image; `spacing` is the size of its pixels along rows and columns. */
  show(image, spacing, isNew) {
    this.image = image;
    this.aspect = spacing[0] / spacing[1];
    if (isNew) {
      this.overlay = null;
      this.reset();
    } else this.draw();
  }

  /** Draw codes as areas, and those of `outlined` as opaque outlines; either may be null. */
  setOverlay(codes, outlined, palette) {
    const { width, height } = this.image;
    const areas = this.overlay?.areas ?? document.createElement("canvas");
    const outlines = this.overlay?.outlines ?? document.createElement("canvas");
    for (const [canvas, source, isOutline] of [[areas, codes, false], [outlines, outlined, true]]) {
      canvas.width = width;
      canvas.height = height;
      if (source === null) continue;
      const pixels = new ImageData(width, height);
      for (let at = 0; at < source.length; at++) {
        if (source[at] && (!isOutline || isBorder(source, at, width))) {
          pixels.data.set(palette.rgb[source[at]], 4 * at);
          pixels.data[4 * at + 3] = 255;
        }
      }
      canvas.getContext("2d").putImageData(pixels, 0, 0);
    }
    this.overlay = { areas, outlines };
    this.draw();
  }

  setOpacity(opacity) {
    this.opacity = opacity;
    this.draw();
  }

  reset() {
    const { clientWidth, clientHeight } = this.canvas;
    this.scale = Math.min(clientWidth / this.image.width, clientHeight / (this.image.height * this.aspect));
    this.left = (clientWidth - this.image.width * this.scale) / 2;
    this.top = (clientHeight - this.image.height * this.aspect * this.scale) / 2;
    this.draw();
  }

  /** Zoom around a point of the canvas, by default its centre. */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const scale = Math.min(MOST_ZOOM, Math.max(0.01, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.draw();
  }

  pan(x, y) {
    this.left += x;
    this.top += y;
    this.draw();
  }

  draw() {
    const { canvas, context, image } = this;
    if (!image || !canvas.clientWidth) return;
    const ratio = window.devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.imageSmoothingEnabled = this.scale < 1;
    const box = [this.left, this.top, image.width * this.scale, image.height * this.aspect * this.scale];
    context.drawImage(image, ...box);
    if (!this.overlay) return;
    context.globalAlpha = this.opacity;
    context.drawImage(this.overlay.areas, ...box);
    context.globalAlpha = 1;
    context.drawImage(this.overlay.outlines, ...box);
  }
}

function isBorder(codes, at, width) {
  const column = at % width;
  const code = codes[at];
  return column === 0 || column === width - 1 || codes[at - 1] !== code || codes[at + 1] !== code
    || codes[at - width] !== code || codes[at + width] !== code;
}
