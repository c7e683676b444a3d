// The page: cases, switches and keys.

import { Palette, areas, difference } from "./compose.js";
import { PictureView } from "./picture.js";
import { VolumeView } from "./volume.js";

const MOST_LISTED = 200; // classes with a switch
const $ = (id) => document.getElementById(id);

const state = { list: null, number: -1, info: null, indices: [], isOn: [], palette: null, request: null };

const volume = new VolumeView($("volume"), showPosition, showWindow);
const picture = new PictureView($("picture"));
const isVolume = () => state.info?.shape?.length === 3;
const view = () => (isVolume() ? volume : picture);

function note(sentence) {
  const line = document.createElement("p");
  line.textContent = sentence;
  $("notes").append(line);
}

/** Fetch a file of the current case; a newer case cancels it. */
async function get(path) {
  const response = await fetch(path, { signal: state.request.signal });
  if (!response.ok) throw new Error(`${await response.text()} (${response.status})`);
  return response;
}

async function nifti(path) {
  const { body } = await get(path);
  return new Response(body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function bitmap(path) {
  const blob = await (await get(path)).blob();
  return createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
}

/** Class indices of a label map. */
async function loadIndices(number) {
  const path = `cases/${state.number}/layers/${number}`;
  if (isVolume()) {
    const buffer = await nifti(`${path}.nii.gz`);
    const isByte = new DataView(buffer).getInt16(70, true) === 2;
    return isByte ? new Uint8Array(buffer, 352) : new Uint16Array(buffer, 352);
  }
  const image = await bitmap(`${path}.png`);
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  const indices = new Uint16Array(image.width * image.height);
  for (let at = 0; at < indices.length; at++) indices[at] = data[4 * at] + 256 * data[4 * at + 1];
  return indices;
}

async function showImage(isNew, window_ = null) {
  const channel = $("channel").value;
  const colours = channel === "colours";
  const bounds = window_ ?? (colours ? state.info.colours : state.info.channels[channel].window);
  showWindow(...bounds);
  const path = `cases/${state.number}/image/${channel}`;
  if (isVolume()) {
    const buffer = await nifti(`${path}.nii.gz`);
    await volume.show(buffer, bounds, isNew);
  } else {
    const query = new URLSearchParams({ low: bounds[0], high: bounds[1] });
    picture.show(await bitmap(`${path}.png?${query}`), state.info.spacing, isNew);
    if (isNew) showPosition(null);
  }
}

function layerOf(kind) {
  const { layers } = state.info;
  if (kind === "reference") return layers.findIndex((layer) => layer.reference);
  return $("which").value === "" ? -1 : Number($("which").value);
}

async function showLabels() {
  if (!state.info || state.info.issue) return;
  const isShown = (id) => $("overlay").checked && $(id).checked && !$(id).disabled;
  const reference = state.indices[layerOf("reference")];
  const prediction = state.indices[layerOf("prediction")];
  const { isOn, palette } = state;
  const ignored = state.info.classes.findIndex((each) => each.ignored) + 1;
  let codes = null;
  if (isShown("difference")) codes = difference(reference, prediction, isOn, ignored || -1, palette);
  else if (isShown("prediction")) codes = areas(prediction, isOn, palette);
  let outlined = null;
  if (isShown("reference")) {
    const drawn = areas(reference, isOn, palette);
    if (codes === null) codes = drawn;
    else outlined = drawn;
  }
  $("legend").replaceChildren(...legend(isShown("difference"), outlined !== null));
  await view().setOverlay(codes, outlined, palette);
}

function legend(hasDifference, hasOutline) {
  const parts = [];
  if (hasOutline) parts.push("The reference is outlined.");
  if (hasDifference) {
    parts.push(document.createElement("br"));
    for (const [name, colour] of state.palette.differences) parts.push(swatch(colour), name);
  }
  return parts;
}

function swatch(colour) {
  const element = document.createElement("span");
  element.className = "swatch";
  element.style.background = colour;
  return element;
}

function showPosition(slices) {
  if (slices) {
    const { axial, coronal, sagittal } = slices;
    $("position").value = `axial ${axial} · coronal ${coronal} · sagittal ${sagittal}`;
  } else if (state.info?.shape) $("position").value = `${state.info.shape[1]} × ${state.info.shape[0]} pixels`;
  else $("position").value = "";
}

function showWindow(low, high) {
  $("low").value = Number(low.toPrecision(6));
  $("high").value = Number(high.toPrecision(6));
}

function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
}

function showControls() {
  const { info } = state;
  const channels = info.channels.map((channel, at) => [at, channel.name]);
  fill($("channel"), info.colours ? [["colours", "colours"], ...channels] : channels);
  const shown = info.layers.map((layer, at) => [at, layer]).filter(([, layer]) => !layer.issue);
  const predictions = shown.filter(([, layer]) => !layer.reference);
  const before = $("which").selectedOptions[0]?.text;
  fill($("which"), predictions.map(([at, layer]) => [at, layer.name]));
  const same = [...$("which").options].find((option) => option.text === before);
  if (same) same.selected = true;
  $("predictions").hidden = predictions.length < 2;
  $("reference").disabled = predictions.length === shown.length;
  $("prediction").disabled = !predictions.length;
  $("difference").disabled = $("reference").disabled || $("prediction").disabled;
  $("views").hidden = !isVolume();
  const wasOn = new Map(state.palette?.names.map((name, at) => [name, state.isOn[at + 1]]));
  state.palette = new Palette(info.classes);
  state.palette.names = info.classes.map((each) => each.name);
  state.isOn = [false, ...state.palette.names.map((name) => wasOn.get(name) ?? true)];
  $("classes").replaceChildren(...info.classes.slice(0, MOST_LISTED).map(classSwitch));
  if (info.classes.length > MOST_LISTED) {
    $("classes").append(`and ${info.classes.length - MOST_LISTED} more, switched by “all”`);
  }
  info.notes.forEach(note);
}

function classSwitch(shown, at) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  const name = document.createElement("span");
  const dice = document.createElement("span");
  box.type = "checkbox";
  box.checked = state.isOn[at + 1];
  box.addEventListener("change", () => switchClass(at + 1, box.checked));
  name.className = "name";
  name.textContent = name.title = shown.name;
  dice.className = "dice";
  if (shown.dice != null) {
    dice.textContent = shown.dice.toFixed(3);
    dice.title = "Dice of the first prediction";
  }
  label.append(box, swatch(shown.colour), name, dice);
  if (at < 9) {
    const key = document.createElement("kbd");
    key.textContent = at + 1;
    label.append(key);
  }
  return label;
}

function switchClass(index, isOn) {
  state.isOn[index] = isOn;
  return showLabels();
}

function switchAll() {
  const isOn = !state.isOn.slice(1).every(Boolean);
  state.isOn.fill(isOn, 1);
  for (const box of $("classes").querySelectorAll("input")) box.checked = isOn;
  return showLabels();
}

async function showCase(number) {
  if (number < 0 || number >= state.list.cases.length) return;
  state.request?.abort();
  const request = (state.request = new AbortController());
  Object.assign(state, { number, info: null, indices: [] });
  $("case").value = number;
  $("previous").disabled = number === 0;
  $("next").disabled = number === state.list.cases.length - 1;
  $("notes").replaceChildren();
  $("position").value = "";
  $("volume").hidden = $("picture").hidden = true;
  $("loading").hidden = false;
  document.body.dataset.ready = "";
  try {
    const info = await (await get(`cases/${number}`)).json();
    state.info = info;
    for (const controls of document.querySelectorAll("fieldset")) controls.disabled = Boolean(info.issue);
    if (info.issue) {
      note(info.issue);
      $("classes").replaceChildren();
    } else {
      showControls();
      $("volume").hidden = !isVolume();
      $("picture").hidden = isVolume();
      const loads = info.layers.map((layer, at) => (layer.issue ? null : loadIndices(at)));
      await showImage(true);
      state.indices = await Promise.all(loads);
      if (request !== state.request) return;
      const labelled = state.indices.find((indices) => indices?.some(Boolean));
      if (isVolume() && labelled) volume.moveToLabels(labelled);
      await showLabels();
    }
  } catch (error) {
    if (request.signal.aborted) return;
    note(error.message);
    console.error(error);
  }
  if (request !== state.request) return;
  $("loading").hidden = true;
  document.body.dataset.ready = "yes"; // for tests
}

async function changeImage(window_ = null) {
  if (!state.info || state.info.issue) return;
  await showImage(false, window_);
  if (isVolume()) await showLabels();
}

function changeWindow() {
  const [low, high] = [$("low").valueAsNumber, $("high").valueAsNumber];
  if (!(low < high)) return;
  if (isVolume()) volume.setWindow(low, high);
  else changeImage([low, high]);
}

function changeView() {
  volume.setView(Number($("view").value));
}

function next(id) {
  const select = $(id);
  select.selectedIndex = (select.selectedIndex + 1) % select.length;
  select.dispatchEvent(new Event("change"));
}

function press(id) {
  if (!$(id).disabled) $(id).click();
}

function changeOpacity(step) {
  $("opacity").valueAsNumber += step;
  view().setOpacity($("opacity").valueAsNumber);
}

function reset() {
  if (!state.info || state.info.issue) return;
  changeImage();
  view().reset();
}

/** Move through slices, or move the picture; `x` to the right, `y` upwards. */
function move(x, y, isShifted) {
  if (!isVolume()) picture.pan(-40 * x, 40 * y);
  else if (volume.showsOnePlane) volume.moveThrough(x + y);
  else if (x) volume.move(-x, 0, 0); // the right of the patient is on the left
  else if (isShifted) volume.move(0, y, 0);
  else volume.move(0, 0, y);
}

const KEYS = {
  n: () => showCase(state.number + 1),
  p: () => showCase(state.number - 1),
  o: () => press("overlay"),
  r: () => press("reference"),
  m: () => press("prediction"),
  d: () => press("difference"),
  v: () => isVolume() && next("view"),
  c: () => next("channel"),
  f: reset,
  0: switchAll,
  "[": () => changeOpacity(-0.1),
  "]": () => changeOpacity(0.1),
  "+": () => view().zoom(1.25),
  "=": () => view().zoom(1.25),
  "-": () => view().zoom(0.8),
  "−": () => view().zoom(0.8),
  "?": () => ($("help").open = !$("help").open),
  ArrowUp: (event) => move(0, 1, event.shiftKey),
  ArrowDown: (event) => move(0, -1, event.shiftKey),
  ArrowLeft: () => move(-1, 0),
  ArrowRight: () => move(1, 0),
};

function onKey(event) {
  if (event.target instanceof HTMLCanvasElement) event.stopPropagation(); // NiiVue has keys, too
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches("select, input[type=number]")) return;
  if (target.matches("input[type=range], aside, summary") && key.startsWith("Arrow")) return;
  if ((!state.info || state.info.issue) && !["n", "p", "?"].includes(key)) return;
  const box = /^[1-9]$/.test(key) && $("classes").querySelectorAll("input")[key - 1];
  if (box) box.click();
  else if (Object.hasOwn(KEYS, key)) KEYS[key](event);
  else return;
  event.preventDefault();
}

function listen() {
  const on = (id, action, kind = "change") => $(id).addEventListener(kind, action);
  for (const id of ["overlay", "reference", "prediction", "difference", "which"]) on(id, showLabels);
  for (const id of ["low", "high"]) on(id, changeWindow);
  on("opacity", () => changeOpacity(0), "input");
  on("case", () => showCase(Number($("case").value)));
  on("channel", () => changeImage());
  on("view", changeView);
  for (const id of ["case", "channel", "view", "which"]) on(id, () => $(id).blur()); // keys act on the page again
  on("all", switchAll, "click");
  on("reset", reset, "click");
  on("next", KEYS.n, "click");
  on("previous", KEYS.p, "click");
  window.addEventListener("unhandledrejection", (event) => {
    if (event.reason.name !== "AbortError") return note(event.reason.message);
    event.preventDefault(); // the user has chosen another case
  });
  window.addEventListener("keydown", onKey, true);
  window.addEventListener("keyup", (event) => {
    if (event.target instanceof HTMLCanvasElement) event.stopPropagation();
  }, true);
}

async function start() {
  state.request = new AbortController();
  state.list = await (await get("cases")).json();
  document.title = `${state.list.title} – autoseg view`;
  $("title").textContent = state.list.title;
  fill($("case"), state.list.cases.map((each, at) => {
    const score = each.dice == null ? "" : ` – Dice ${each.dice.toFixed(3)}`;
    return [at, `${at + 1}. ${each.name}${score}`];
  }));
  listen();
  changeView();
  await showCase(state.list.start);
}

start().catch((error) => note(error.message));
