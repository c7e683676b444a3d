"use strict";
(() => {
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const isDark = matchMedia("(prefers-color-scheme: dark)");

  /* Tables */

  const PAGE = 25, PRINTED = 500;
  const format = (value, digits) => {
    if (value === null) return "–";
    if (typeof value === "string") return value;
    if (Number.isInteger(value)) return String(value);
    const text = value.toPrecision(digits);
    return Math.abs(value) >= 10 ** digits ? String(Math.round(value)) : String(Number(text));
  };
  const COMPARISON = /^(.+?)\s*(<=|>=|<|>|=)\s*(-?[\d.]+(?:e-?\d+)?)$/i;
  const matcher = (query, columns) => {
    const found = COMPARISON.exec(query.trim());
    if (found) {
      const name = found[1].toLowerCase(), limit = Number(found[3]);
      const place = columns.findIndex((column) => column.title.toLowerCase().startsWith(name));
      const compare = {
        "<": (value) => value < limit, ">": (value) => value > limit,
        "<=": (value) => value <= limit, ">=": (value) => value >= limit, "=": (value) => value === limit,
      }[found[2]];
      if (place >= 0) return (row) => typeof row[place] === "number" && compare(row[place]);
    }
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    return (row) => {
      const text = row.join("\u0000").toLowerCase();
      return words.every((word) => text.includes(word));
    };
  };
  const compareCells = (first, second) => {
    if (first === null || second === null) return (first === null) - (second === null);
    if (typeof first === "number" && typeof second === "number") return first - second;
    return String(first).localeCompare(String(second), undefined, { numeric: true });
  };

  const drawTable = (body, block) => {
    let sorted = null, ascending = true, page = 0, query = "", size = PAGE;
    const search = element("input", {
      type: "search", placeholder: "Filter: words, or Dice < 0.8", ariaLabel: `Filter ${block.title}`,
    });
    const count = element("span", { role: "status" });
    const earlier = element("button", { type: "button", textContent: "‹ Previous" });
    const later = element("button", { type: "button", textContent: "Next ›" });
    const all = element("button", { type: "button", textContent: "Show all" });
    const head = element("tr"), rows = element("tbody");
    const headings = block.columns.map((column, place) => {
      const button = element("button", { type: "button", textContent: column.title, title: column.hint });
      const isNumber = block.rows.every((row) => row[place] === null || typeof row[place] === "number");
      const cell = element("th", { scope: "col", className: isNumber ? "number" : "" }, button);
      button.addEventListener("click", () => {
        ascending = sorted === place ? !ascending : true;
        sorted = place;
        page = 0;
        draw();
      });
      head.append(cell);
      return cell;
    });
    const draw = () => {
      const matches = query ? block.rows.filter(matcher(query, block.columns)) : [...block.rows];
      if (sorted !== null) {
        const sign = ascending ? 1 : -1;
        matches.sort((one, other) => {
          const [a, b] = [one[sorted], other[sorted]];
          return a === null || b === null ? compareCells(a, b) : sign * compareCells(a, b);
        });
      }
      const pages = Math.max(1, Math.ceil(matches.length / size));
      page = Math.min(page, pages - 1);
      rows.replaceChildren(...matches.slice(page * size, (page + 1) * size).map((row) =>
        element("tr", {}, ...row.map((value, place) => {
          const isNumber = typeof value === "number" || value === null;
          const text = format(value, block.columns[place].digits);
          const cell = element("td", { className: isNumber ? "number" : text.length < 32 ? "short" : "text" });
          const target = place === block.case_column && pictureOf.get(value);
          cell.append(target ? caseLink(text, target) : text);
          return cell;
        }))));
      headings.forEach((cell, place) => {
        cell.ariaSort = place === sorted ? (ascending ? "ascending" : "descending") : "none";
        const mark = place === sorted ? (ascending ? " ▲" : " ▼") : "";
        cell.firstChild.textContent = block.columns[place].title + mark;
      });
      count.textContent = matches.length === block.rows.length && pages === 1
        ? `${matches.length} rows`
        : `${matches.length} of ${block.rows.length} rows, page ${page + 1} of ${pages}`;
      earlier.disabled = page === 0;
      later.disabled = page >= pages - 1;
      earlier.hidden = later.hidden = all.hidden = block.rows.length <= PAGE;
      all.textContent = size === PAGE ? "Show all" : "Show pages";
    };
    search.addEventListener("input", () => { query = search.value; page = 0; draw(); });
    earlier.addEventListener("click", () => { page -= 1; draw(); });
    later.addEventListener("click", () => { page += 1; draw(); });
    all.addEventListener("click", () => { size = size === PAGE ? Infinity : PAGE; page = 0; draw(); });
    addEventListener("beforeprint", () => { size = Math.max(size, PRINTED); page = 0; draw(); });
    addEventListener("afterprint", () => { size = PAGE; draw(); });
    const tools = element("div", { className: "tools" }, search, count, earlier, later, all);
    search.hidden = block.rows.length < 8;
    if (block.rows.length < 8) count.hidden = true;
    const table = element("table", {}, element("thead", {}, head), rows);
    body.append(tools, element("div", { className: "scroll" }, table));
    draw();
  };

  /* Names of cases in tables lead to their pictures */

  const pictureOf = new Map();
  const caseLink = (text, show) => {
    const link = element("a", { href: "#", textContent: text });
    link.addEventListener("click", (event) => { event.preventDefault(); show(); });
    return link;
  };

  /* Charts */

  const charts = [];
  const themeOf = () => {
    const [text, soft, line] = ["--text", "--soft", "--line"].map(colour);
    const axis = {
      axisLine: { lineStyle: { color: soft } }, axisLabel: { color: soft }, nameTextStyle: { color: soft },
      splitLine: { lineStyle: { color: line } }, splitArea: { show: false },
    };
    return {
      backgroundColor: "transparent", textStyle: { color: text, fontFamily: "system-ui, sans-serif" },
      color: ["#0077bb", "#ee7733", "#009988", "#ee3377", "#33bbee", "#cc3311", "#888888"],
      legend: { textStyle: { color: text }, pageTextStyle: { color: text } },
      categoryAxis: axis, valueAxis: axis, logAxis: axis,
      tooltip: { backgroundColor: colour("--panel"), borderColor: line, textStyle: { color: text } },
      visualMap: { textStyle: { color: text } },
    };
  };
  const drawChart = (body, block) => {
    const entry = { body, block, chart: null };
    charts.push(entry);
    const draw = () => {
      entry.chart?.dispose();
      entry.chart = echarts.init(body, themeOf(), { renderer: "svg" });
      entry.chart.setOption({ animation: false, aria: { enabled: true }, ...block.option });
    };
    entry.draw = draw;
    draw();
  };
  isDark.addEventListener("change", () => charts.forEach((entry) => entry.draw()));
  addEventListener("resize", () => charts.forEach((entry) => entry.chart.resize()));
  addEventListener("beforeprint", () => charts.forEach((entry) => entry.chart.resize()));

  /* Slices */

  const MISSED = [51, 187, 238], EXTRA = [238, 51, 119], OTHER = [255, 200, 0];
  const toRgb = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
  const load = (source) => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("a picture of this report is damaged"));
    image.src = source;
  });
  const heat = (share) => [255 * Math.min(1, 2 * share), 255 * (1 - Math.abs(2 * share - 1)), 255 * Math.min(1, 2 - 2 * share)];

  const drawSlices = (body, block) => {
    const shown = new Set(block.class_names.map((_, index) => index + 1));
    const colours = block.colours.map(toRgb);
    let place = 0, slice = 0, layers = null, opacity = 0.35;
    const choice = element("select", { ariaLabel: "Case" }, ...block.cases.map((entry, index) =>
      element("option", { value: index, textContent: entry.caption })));
    const earlier = element("button", { type: "button", textContent: "‹ Previous case" });
    const later = element("button", { type: "button", textContent: "Next case ›" });
    const slider = element("input", { type: "range", min: 0, ariaLabel: "Slice" });
    const position = element("span", { role: "status" });
    const strength = element("input", { type: "range", min: 0, max: 100, value: 35, ariaLabel: "Opacity of classes" });
    const distances = element("input", { type: "checkbox" });
    const distanceLabel = element("label", { className: "class-switch" }, distances, "surface distance");
    const names = ["image", "reference", "prediction", "difference"];
    const canvases = names.map(() => element("canvas"));
    const captions = names.map((name) => element("span", { textContent: name }));
    const panels = element("div", { className: "panels", tabIndex: 0, ariaLabel: "Slices; arrow keys move through them" },
      ...canvases.map((canvas, index) => element("div", {}, canvas, captions[index])));
    const switches = block.class_names.map((name, index) => {
      const box = element("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => {
        if (box.checked) shown.add(index + 1); else shown.delete(index + 1);
        paint();
      });
      const swatch = element("span", { className: "swatch" });
      swatch.style.background = block.colours[index];
      return element("label", { className: "class-switch" }, box, swatch, name);
    });
    const classesOf = (data) => data.map((value) => (shown.has(value) ? value : 0));
    const blend = (pixels, at, [red, green, blue], share) => {
      pixels[at] += share * (red - pixels[at]);
      pixels[at + 1] += share * (green - pixels[at + 1]);
      pixels[at + 2] += share * (blue - pixels[at + 2]);
    };
    const isEdge = (classes, index, columns) => {
      const value = classes[index], column = index % columns;
      return (column > 0 && classes[index - 1] !== value) || (column < columns - 1 && classes[index + 1] !== value)
        || (index >= columns && classes[index - columns] !== value)
        || (index + columns < classes.length && classes[index + columns] !== value);
    };
    const paintClasses = (pixels, classes, columns) => classes.forEach((value, index) => {
      if (value) blend(pixels, 4 * index, colours[value - 1], isEdge(classes, index, columns) ? 1 : opacity);
    });
    const paintDifference = (pixels, reference, prediction) => reference.forEach((value, index) => {
      if (value === prediction[index]) return;
      blend(pixels, 4 * index, !prediction[index] ? MISSED : !value ? EXTRA : OTHER, 0.8);
    });
    const paint = () => {
      if (!layers) return;
      const entry = block.cases[place], { rows, columns } = entry, from = slice * rows * columns;
      const part = (name) => layers[name] && layers[name].subarray(from, from + rows * columns);
      const [reference, prediction] = ["reference", "prediction"].map((name) => part(name) && classesOf(part(name)));
      const showsDistances = distances.checked && part("distance");
      canvases.forEach((canvas, index) => {
        canvas.width = columns;
        canvas.height = rows;
        const context = canvas.getContext("2d", { willReadFrequently: true });
        context.drawImage(layers.picture, 0, slice * rows, columns, rows, 0, 0, columns, rows);
        const data = context.getImageData(0, 0, columns, rows), pixels = data.data;
        if (index === 1 && reference) paintClasses(pixels, reference, columns);
        if (index === 2 && prediction) paintClasses(pixels, prediction, columns);
        if (index === 3 && showsDistances) {
          part("distance").forEach((value, at) => { if (value) blend(pixels, 4 * at, heat((value - 1) / 254), 0.9); });
        } else if (index === 3 && reference && prediction) paintDifference(pixels, reference, prediction);
        context.putImageData(data, 0, 0);
      });
      captions[3].textContent = showsDistances
        ? `surface distance, blue 0 … red ${entry.largest_distance.toPrecision(3)} ${entry.unit}`
        : "difference: blue missed, pink spurious, yellow other class";
      slider.value = slice;
      position.textContent = entry.slices.length > 1 ? `slice ${entry.slices[slice]}` : "";
    };
    const show = async (index) => {
      place = index;
      const entry = block.cases[index];
      choice.value = index;
      earlier.disabled = index === 0;
      later.disabled = index === block.cases.length - 1;
      slider.max = entry.slices.length - 1;
      slider.hidden = entry.slices.length === 1;
      slice = entry.first;
      layers = null;
      const picture = await load(entry.image), read = { picture };
      for (const [name, source] of Object.entries(entry.layers)) {
        const image = await load(source), canvas = element("canvas", { width: image.width, height: image.height });
        const context = canvas.getContext("2d", { willReadFrequently: true });
        context.drawImage(image, 0, 0);
        const data = context.getImageData(0, 0, image.width, image.height).data;
        read[name] = Uint8Array.from({ length: data.length / 4 }, (_, at) => data[4 * at]);
      }
      if (place !== index) return;
      layers = read;
      canvases.forEach((canvas, at) => {
        canvas.parentElement.hidden = (at === 1 && !read.reference) || (at >= 2 && !(read.prediction && (at === 2 || read.reference)));
      });
      distanceLabel.hidden = !read.distance;
      paint();
    };
    const move = (by) => {
      const next = Math.min(Math.max(slice + by, 0), block.cases[place].slices.length - 1);
      if (next !== slice) { slice = next; paint(); }
    };
    choice.addEventListener("change", () => show(Number(choice.value)));
    earlier.addEventListener("click", () => show(place - 1));
    later.addEventListener("click", () => show(place + 1));
    slider.addEventListener("input", () => { slice = Number(slider.value); paint(); });
    strength.addEventListener("input", () => { opacity = strength.value / 100; paint(); });
    distances.addEventListener("change", paint);
    panels.addEventListener("wheel", (event) => { if (event.shiftKey) { event.preventDefault(); move(Math.sign(event.deltaY || event.deltaX)); } }, { passive: false });
    panels.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (by) { event.preventDefault(); move(by); }
      if (event.key === "n" && place < block.cases.length - 1) show(place + 1);
      if (event.key === "p" && place > 0) show(place - 1);
    });
    block.cases.forEach((entry, index) => pictureOf.set(entry.name, () => {
      show(index);
      body.scrollIntoView();
      panels.focus({ preventScroll: true });
    }));
    const help = element("span", { textContent: "Arrow keys: slices; n, p: cases" });
    body.append(
      element("div", { className: "tools" }, choice, earlier, later, slider, position, help),
      panels,
      element("div", { className: "tools" }, ...switches, element("label", { className: "class-switch" }, "opacity", strength), distanceLabel),
    );
    show(0);
  };

  /* The page */

  for (const figure of document.querySelectorAll("figure[data-case]")) {
    if (!pictureOf.has(figure.dataset.case)) pictureOf.set(figure.dataset.case, () => figure.scrollIntoView({ block: "center" }));
  }
  const draw = { chart: drawChart, slices: drawSlices, table: drawTable };
  const blocks = [...document.querySelectorAll("script[data-block]")];
  const kindOf = (script) => Object.keys(draw).find((kind) => script.parentElement.classList.contains(kind));
  for (const kind of ["slices", "chart", "table"]) {
    for (const script of blocks.filter((each) => kindOf(each) === kind)) {
      draw[kind](script.parentElement.querySelector(".body"), JSON.parse(script.textContent));
    }
  }
})();
