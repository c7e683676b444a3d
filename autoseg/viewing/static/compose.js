// What is drawn over an image: arrays of colour codes, composed of label maps and switches.

const DIFFERENCES = [["missed", "#ffdd00"], ["spurious", "#ff4dff"], ["other class", "#4dff88"]];

/** Colours by code: none, the different colours of the classes, and those of differences. */
export class Palette {
  constructor(classes) {
    this.colours = ["#000000", ...new Set(classes.map((each) => each.colour))];
    this.codes = [0, ...classes.map((each) => this.colours.indexOf(each.colour))];
    this.firstDifference = this.colours.length;
    this.differences = DIFFERENCES;
    this.colours.push(...DIFFERENCES.map(([, colour]) => colour));
    this.rgb = this.colours.map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
  }
}

/** Codes of the classes that are switched on; `isOn` has an entry for the background, too. */
export function areas(indices, isOn, palette) {
  const table = palette.codes.map((code, index) => (isOn[index] ? code : 0));
  const codes = new Uint8Array(indices.length);
  for (let at = 0; at < indices.length; at++) codes[at] = table[indices[at]];
  return codes;
}

/** Codes of the voxels in which a prediction differs from the reference in a class that is on. */
export function difference(reference, prediction, isOn, ignored, palette) {
  const [missed, spurious, other] = [0, 1, 2].map((at) => palette.firstDifference + at);
  const codes = new Uint8Array(reference.length);
  for (let at = 0; at < codes.length; at++) {
    if (reference[at] === ignored) continue;
    const wanted = isOn[reference[at]] ? reference[at] : 0;
    const found = isOn[prediction[at]] ? prediction[at] : 0;
    if (wanted !== found) codes[at] = found === 0 ? missed : wanted === 0 ? spurious : other;
  }
  return codes;
}
