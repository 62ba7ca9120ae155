// Maps of layers over steps, drawn with all their values: hover, zoom, pan and choose a layer.
const MISSING = -32768, ZERO = -32767, LOST = 32767, FINENESS = 500, SHADES = 6;

const colours = () => {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["shrinks", "grows", "grid", "ink", "warn", "card"].map((name) => [name, style.getPropertyValue("--" + name).trim()]));
};
const alphas = [0, 0.2, 0.35, 0.5, 0.66, 0.83, 1];

const decoded = (text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Int16Array(bytes.buffer, 0, bytes.length >> 1);
};
const superscript = (text) => text.replace(/[-0-9]/g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]));
const written = (value) => {
  if (value === MISSING) return "not recorded";
  if (value === ZERO) return "0";
  if (value === LOST) return "NaN or infinite";
  const decades = value / FINENESS;
  const power = Math.floor(decades);
  const digits = (10 ** (decades - power)).toFixed(2);
  return power >= -3 && power < 4 ? String(Number((10 ** decades).toPrecision(3))) : `${digits}·10${superscript(String(power))}`;
};

const kept = {};

const makeMap = (figure) => {
  const template = figure.querySelector("template.map");
  const { names: list, steps: numbers, to, shade, box, size } = template.dataset;
  const names = JSON.parse(list);
  const steps = numbers.split(" ").map(Number);
  const values = decoded(template.content.textContent);
  const [left, top, width, height] = box.split(" ").map(Number);
  const [fullWidth, fullHeight] = size.split(" ").map(Number);
  const rows = names.length, columns = steps.length;
  const svg = figure.querySelector("svg");
  const reading = figure.querySelector(".reading");
  const at = (row, column) => values[row * columns + column];
  const references = steps.map((_, column) => {
    if (to !== "first" && to !== "last") return Number(to) * FINENESS;
    for (let index = 0; index < rows; index++) {
      const value = at(to === "first" ? index : rows - 1 - index, column);
      if (value > ZERO && value < LOST) return value;
    }
    return null;
  });

  const frame = document.createElement("div");
  frame.className = "drawing";
  svg.replaceWith(frame);
  const canvas = document.createElement("canvas");
  const outline = document.createElement("div");
  outline.className = "outline";
  frame.append(svg, canvas, outline);
  const place = (element, x, y, w, h) => {
    element.style.left = (100 * x) / fullWidth + "%";
    element.style.top = (100 * y) / fullHeight + "%";
    element.style.width = (100 * w) / fullWidth + "%";
    element.style.height = (100 * h) / fullHeight + "%";
  };
  place(canvas, left, top, width, height);

  const id = figure.dataset.view;
  const whole = () => ({ r: 0, c: 0, rows, columns });
  // A part that comes anew keeps what is looked at; a view of everything stays one of everything.
  let view = kept[id] && kept[id].rows < rows ? { ...kept[id] } : whole();
  if (kept[id] && kept[id].columns < kept[id].of) Object.assign(view, { c: kept[id].c, columns: kept[id].columns });
  let cursor = null;

  const clamp = () => {
    view.rows = Math.max(Math.min(view.rows, rows), Math.min(2, rows));
    view.columns = Math.max(Math.min(view.columns, columns), Math.min(4, columns));
    view.r = Math.max(0, Math.min(view.r, rows - view.rows));
    view.c = Math.max(0, Math.min(view.c, columns - view.columns));
  };
  const isWhole = () => view.rows === rows && view.columns === columns;
  const tint = (row, column, palette) => {
    const value = at(row, column);
    if (value === MISSING) return null;
    if (value === ZERO) return [palette.ink, 1];
    if (value === LOST) return [palette.warn, 1];
    if (references[column] === null) return null;
    const shades = Math.max(-SHADES, Math.min(SHADES, Math.round((value - references[column]) / FINENESS / Number(shade))));
    return shades === 0 ? [palette.grid, 1] : [shades < 0 ? palette.shrinks : palette.grows, alphas[Math.abs(shades)]];
  };
  const draw = () => {
    clamp();
    const ratio = devicePixelRatio || 1;
    const w = (canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio)));
    const h = (canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio)));
    const context = canvas.getContext("2d");
    const palette = colours();
    context.fillStyle = palette.card;
    context.fillRect(0, 0, w, h);
    // No more cells than pixels: of a thousand layers in 300 pixels every third is drawn.
    const rowStep = Math.max(1, Math.floor(view.rows / h)), columnStep = Math.max(1, Math.floor(view.columns / w));
    for (let row = Math.floor(view.r); row < view.r + view.rows; row += rowStep) {
      const y0 = Math.round(((row - view.r) / view.rows) * h), y1 = Math.round(((row + rowStep - view.r) / view.rows) * h);
      for (let column = Math.floor(view.c); column < view.c + view.columns; column += columnStep) {
        if (row >= rows || column >= columns) continue;
        const colour = tint(row, column, palette);
        if (!colour) continue;
        const x0 = Math.round(((column - view.c) / view.columns) * w), x1 = Math.round(((column + columnStep - view.c) / view.columns) * w);
        [context.fillStyle, context.globalAlpha] = colour;
        context.fillRect(x0, y0, x1 - x0, y1 - y0);
      }
    }
    context.globalAlpha = 1;
    const row = chosen === null ? -1 : names.findIndex((name) => belongs(name, chosen));
    const inside = row >= 0 && row + 1 > view.r && row < view.r + view.rows;
    outline.hidden = !inside;
    if (inside) place(outline, left - 4, top + ((row - view.r) / view.rows) * height, width + 8, Math.max(2, height / view.rows));
    svg.classList.toggle("zoomed", !isWhole());
    note.textContent = isWhole() ? "" : `${names[Math.floor(view.r)]} … ${names[Math.min(rows, Math.ceil(view.r + view.rows)) - 1]}, steps ${steps[Math.floor(view.c)]} … ${steps[Math.min(columns, Math.ceil(view.c + view.columns)) - 1]}`;
    kept[id] = { ...view, of: columns };
  };
  const zoom = (factor, x = 0.5, y = 0.5) => {
    const before = { ...view };
    view.rows = Math.min(rows, Math.max(2, view.rows * factor));
    view.columns = Math.min(columns, Math.max(4, view.columns * factor));
    view.r = before.r + (before.rows - view.rows) * y;
    view.c = before.c + (before.columns - view.columns) * x;
    draw();
  };
  const show = (row, column) => {
    cursor = { row: Math.max(0, Math.min(rows - 1, row)), column: Math.max(0, Math.min(columns - 1, column)) };
    reading.textContent = `${names[cursor.row]} · step ${steps[cursor.column]} · ${written(at(cursor.row, cursor.column))}`;
  };
  const cell = (event) => {
    const rect = canvas.getBoundingClientRect();
    const x = (event.clientX - rect.left) / rect.width, y = (event.clientY - rect.top) / rect.height;
    return { x, y, row: Math.floor(view.r + y * view.rows), column: Math.floor(view.c + x * view.columns) };
  };

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, view: { ...view }, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const { row, column } = cell(event);
    show(row, column);
    if (!drag || isWhole()) return;
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    drag.moved ||= Math.abs(dx) + Math.abs(dy) > 4;
    view.c = drag.view.c - (dx / canvas.clientWidth) * view.columns;
    view.r = drag.view.r - (dy / canvas.clientHeight) * view.rows;
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const { row } = cell(event);
    if (drag && !drag.moved && names[row] !== undefined) select(names[row]);
    drag = null;
  });
  canvas.addEventListener("pointerleave", () => { if (!drag) reading.textContent = ""; });
  // Without the key the page scrolls, as it does everywhere.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const { x, y } = cell(event);
    zoom(event.deltaY > 0 ? 1.25 : 0.8, x, y);
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => { const { x, y } = cell(event); zoom(0.5, x, y); });
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (move) {
      show((cursor?.row ?? 0) + move[0], (cursor?.column ?? 0) + move[1]);
    } else if (event.key === "Enter" && cursor) {
      select(names[cursor.row]);
    } else if (event.key === "+" || event.key === "=") {
      zoom(0.5);
    } else if (event.key === "-") {
      zoom(2);
    } else if (event.key === "0") {
      view = whole();
      draw();
    } else {
      return;
    }
    event.preventDefault();
  });

  const tools = document.createElement("span");
  tools.className = "tools zoom";
  const note = document.createElement("span");
  note.className = "soft";
  for (const [label, title, act] of [
    ["+", "Zoom in (or Ctrl and the wheel, or +)", () => zoom(0.5)],
    ["−", "Zoom out (or -)", () => zoom(2)],
    ["all", "Show everything (or 0)", () => { view = whole(); draw(); }],
  ]) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: label, title });
    button.addEventListener("click", act);
    tools.append(button);
  }
  tools.append(note);
  frame.after(tools);

  figure.numbers = () => {
    const quoted = (name) => `"${/^[=+\-@\t]/.test(name) ? "'" : ""}${name.replaceAll('"', '""').replace(/[\r\n]/g, " ")}"`;
    const number = (value) => (value === MISSING ? "" : value === ZERO ? "0" : value === LOST ? "NaN" : (10 ** (value / FINENESS)).toPrecision(3));
    const lines = names.map((name, row) => [quoted(name), ...steps.map((_, column) => number(at(row, column)))].join(","));
    return [["layer", ...steps].join(","), ...lines].join("\n") + "\n";
  };
  new ResizeObserver(() => { if (canvas.isConnected) draw(); }).observe(canvas);
  figure.redraw = draw;
};

bindings.push((root) => root.querySelectorAll("figure.heat").forEach(makeMap));
const redraw = () => document.querySelectorAll("figure.heat").forEach((figure) => figure.redraw?.());
listeners.push(redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
