// One layer, shown in every view. Names are compared, never put into a selector or into markup.
let chosen = null;
const listeners = [];

// `fc1`, `fc1.weight` and `fc1.bias` are one layer.
const belongs = (name, layer) => name === layer || name.startsWith(layer + ".") || layer.startsWith(name + ".");

const mark = (root) => {
  for (const marked of root.querySelectorAll("[data-layer]")) {
    marked.classList.toggle("selected", chosen !== null && belongs(marked.dataset.layer, chosen));
  }
  const said = root.querySelector("nav.network .chosen");
  if (said) {
    said.dataset.before ??= said.textContent;
    const cell = [...root.querySelectorAll("nav.network rect")].find((rect) => chosen !== null && belongs(rect.dataset.layer, chosen));
    said.textContent = cell ? cell.querySelector("title").textContent : chosen !== null ? chosen : said.dataset.before;
  }
  for (const figure of root.querySelectorAll("figure.courses")) {
    const courses = [...figure.querySelectorAll(".course")];
    const shown = courses.find((course) => chosen !== null && belongs(course.dataset.of, chosen)) ?? courses[0];
    courses.forEach((course) => course.classList.toggle("shown", course === shown));
    figure.querySelector(".of").textContent = shown.dataset.of;
  }
  listeners.forEach((listener) => listener());
};

const select = (layer) => {
  chosen = layer === chosen ? null : layer;
  mark(document);
};

document.addEventListener("click", (event) => {
  const marked = event.target.closest?.("[data-layer]");
  if (marked) select(marked.dataset.layer);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (document.activeElement?.closest(".hint")) document.activeElement.blur();
  else if (chosen !== null) select(chosen);
});

bindings.push((root) => {
  const svg = root.querySelector("nav.network svg");
  svg?.addEventListener("keydown", (event) => {
    const cells = [...svg.querySelectorAll("rect")];
    const at = cells.findIndex((cell) => cell.dataset.layer === chosen);
    const last = cells.length - 1;
    const to = { ArrowRight: Math.min(at + 1, last), ArrowLeft: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
    if (to === undefined || to === at) return;
    event.preventDefault();
    select(cells[to].dataset.layer);
  });
});
bindings.push((root) => mark(root));

// Runs that are ticked in a list are compared.
const picked = new Set();
bindings.push((root) => {
  const link = document.getElementById("compare");
  const boxes = root.querySelectorAll("input.pick");
  if (!link || !boxes.length) return;
  const show = () => {
    link.href = "/compare?runs=" + [...picked].join(",");
    link.hidden = picked.size < 2;
  };
  for (const box of boxes) {
    box.checked = picked.has(box.value);
    box.addEventListener("change", () => { box.checked ? picked.add(box.value) : picked.delete(box.value); show(); });
  }
  show();
});
