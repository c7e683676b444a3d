// A volume in three planes and in 3-D, drawn by NiiVue.

const HEADER_BYTES = 352;
const MULTIPLANAR = 3, RENDER = 4, GRID = 2;
const OUTLINE_FILL = 0.01; // NiiVue draws no outline of an area that is invisible

export class VolumeView {
  constructor(canvas, onMove, onWindow) {
    this.canvas = canvas;
    this.onMove = onMove;
    this.onWindow = onWindow;
    this.codes = this.outlined = null;
    this.opacity = 0.5;
  }

  /** Show a volume from the bytes of its NIfTI file; `isNew` resets the view. */
  async show(buffer, window_, isNew) {
    const { Niivue, NVImage } = globalThis.niivue;
    if (!this.nv) {
      if (!document.createElement("canvas").getContext("webgl2")) {
        throw new Error("This browser has no WebGL 2, which volumes need. Use another browser.");
      }
      this.nv = new Niivue({
        dragAndDropEnabled: false, isRadiologicalConvention: true, show3Dcrosshair: true,
        crosshairColor: [1, 1, 1, 1], crosshairWidthUnit: "percent",
        multiplanarShowRender: 1, multiplanarLayout: GRID, fontMinPx: 16, showLegend: false, logLevel: "error",
        clipPlaneHotKey: "", cycleClipPlaneHotKey: "", viewModeHotKey: "", isOrientCube: true,
        backColor: [0, 0, 0, 1], fontColor: [0.8, 0.8, 0.8, 1], isColorbar: false,
        multiplanarEqualSize: false, tileMargin: 4, isNearestInterpolation: true,
      });
      this.nv.onLocationChange = () => this.onMove(this.slices());
      this.nv.onIntensityChange = (volume) => this.onWindow(volume.cal_min, volume.cal_max);
      await this.nv.attachToCanvas(this.canvas);
    }
    const image = await NVImage.new(buffer, "image.nii", "gray");
    image.cal_min = window_[0];
    image.cal_max = window_[1];
    this.header = buffer.slice(0, HEADER_BYTES);
    this.removeLabels();
    while (this.nv.volumes.length) this.nv.removeVolume(this.nv.volumes[0]);
    this.nv.addVolume(image);
    if (isNew) this.reset();
    else this.onMove(this.slices());
  }

  removeLabels() {
    if (this.nv.drawBitmap) this.nv.closeDrawing();
    if (this.overlay) this.nv.removeVolume(this.overlay);
    this.overlay = null;
  }

  async labelImage(codes) {
    const bytes = new Uint8Array(HEADER_BYTES + codes.length);
    bytes.set(new Uint8Array(this.header));
    const view = new DataView(bytes.buffer);
    view.setInt16(70, 2, true); // one byte per voxel
    view.setInt16(72, 8, true);
    bytes.set(codes, HEADER_BYTES);
    return globalThis.niivue.NVImage.new(bytes.buffer, "labels.nii");
  }

  /** Draw codes as areas, and those of `outlined` as outlines in the planes; either may be null. */
  async setOverlay(codes, outlined, palette) {
    const colours = {
      R: palette.rgb.map((rgb) => rgb[0]), G: palette.rgb.map((rgb) => rgb[1]),
      B: palette.rgb.map((rgb) => rgb[2]), A: palette.rgb.map((_, at) => (at ? 255 : 0)),
      I: palette.rgb.map((_, at) => at), labels: palette.colours.map(() => ""),
    };
    this.removeLabels();
    if (codes) {
      this.overlay = await this.labelImage(codes);
      this.overlay.setColormapLabel(colours);
      this.overlay.opacity = this.opacity;
      this.nv.addVolume(this.overlay);
    }
    if (outlined) {
      const drawing = await this.labelImage(outlined);
      this.nv.setDrawColormap(colours);
      this.nv.drawRimOpacity = 1;
      this.nv.drawOpacity = OUTLINE_FILL;
      this.nv.loadDrawing(drawing);
    }
    this.nv.drawScene();
  }

  setOpacity(opacity) {
    this.opacity = opacity;
    if (this.overlay) this.nv.setOpacity(1, opacity);
  }

  setWindow(low, high) {
    const [image] = this.nv.volumes;
    image.cal_min = low;
    image.cal_max = high;
    this.nv.updateGLVolume();
  }

  setView(type) {
    this.type = type;
    if (!this.nv) return;
    this.nv.opts.crosshairWidth = this.showsOnePlane ? 0.25 : 0.5; // percent of the volume
    if (this.nv.crosshairs3D) this.nv.crosshairs3D.mm[0] = NaN; // NiiVue builds it again
    this.nv.setSliceType(type);
  }

  /** Move by slices along the axes to right, anterior and superior. */
  move(right, anterior, superior) {
    this.nv.moveCrosshairInVox(right, anterior, superior);
  }

  /** Move through the slices of the view: those of its plane, or axial ones. */
  moveThrough(step) {
    const plane = [[0, 0, step], [0, step, 0], [step, 0, 0]][this.type] ?? [0, 0, step];
    this.move(...plane);
  }

  /** Move to the planes that have the most of any class. */
  moveToLabels(indices) {
    const { dims, affine } = this.nv.volumes[0].hdr;
    const [columns, rows, slices] = dims.slice(1, 4);
    const counts = [new Uint32Array(columns), new Uint32Array(rows), new Uint32Array(slices)];
    for (let slice = 0, at = 0; slice < slices; slice++) {
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++, at++) {
          if (indices[at]) [counts[0][column]++, counts[1][row]++, counts[2][slice]++];
        }
      }
    }
    const voxel = counts.map((each) => each.indexOf(Math.max(...each)));
    const position = affine.slice(0, 3).map((line) => voxel.reduce((sum, at, axis) => sum + line[axis] * at, line[3]));
    this.nv.scene.crosshairPos = this.nv.mm2frac(position);
    this.move(0, 0, 0);
  }

  get showsOnePlane() {
    return this.type < MULTIPLANAR;
  }

  get showsRender() {
    return this.type >= RENDER;
  }

  zoom(factor) {
    if (this.showsRender) this.nv.setScale(this.nv.volScaleMultiplier * factor);
    const [x, y, z, zoom] = this.nv.scene.pan2Dxyzmm;
    this.nv.setPan2Dxyzmm([x, y, z, zoom * factor]);
  }

  reset() {
    this.nv.scene.crosshairPos = [0.5, 0.5, 0.5];
    this.nv.setPan2Dxyzmm([0, 0, 0, 1]);
    this.nv.setScale(1);
    this.setView(this.type);
    this.move(0, 0, 0);
  }

  /** Position of the crosshair: slice from 1 on, and number of slices, of each plane. */
  slices() {
    if (!this.nv.volumes.length) return null;
    const at = this.nv.frac2vox(this.nv.scene.crosshairPos);
    const sizes = this.nv.volumes[0].dimsRAS.slice(1, 4);
    const [sagittal, coronal, axial] = [0, 1, 2].map((axis) => `${Math.round(at[axis]) + 1}/${sizes[axis]}`);
    return { axial, coronal, sagittal };
  }
}
