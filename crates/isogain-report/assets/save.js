// Saves a chart as SVG or PNG, and its numbers as CSV.
const saved = (blob, name) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

// The drawing on its own, with the style it has here.
const drawing = (figure) => {
  const svg = figure.querySelector("svg");
  const copy = svg.cloneNode(true);
  const kept = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity", "font-size", "font-weight"];
  const mine = svg.querySelectorAll("*"), theirs = copy.querySelectorAll("*");
  mine.forEach((element, index) => {
    const style = getComputedStyle(element);
    for (const name of kept) theirs[index].setAttribute(name, style.getPropertyValue(name));
  });
  const [, , width, height] = svg.getAttribute("viewBox").split(" ");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.setAttribute("font-family", "system-ui, sans-serif");
  copy.querySelectorAll(".strips").forEach((strips) => strips.remove());
  const back = svg.ownerDocument.createElementNS(svg.namespaceURI, "rect");
  for (const [name, value] of [["width", width], ["height", height], ["fill", getComputedStyle(document.body).getPropertyValue("--card")]]) back.setAttribute(name, value);
  copy.prepend(back);
  return { text: new XMLSerializer().serializeToString(copy), width: Number(width), height: Number(height) };
};

const picture = (figure) => new Promise((resolve, reject) => {
  const { text, width, height } = drawing(figure);
  const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [2 * width, 2 * height];
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(url);
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/png");
  };
  image.onerror = () => reject(new Error("the drawing cannot be read"));
  image.src = url;
});

bindings.push((root) => {
  for (const figure of root.querySelectorAll("figure.chart")) {
    const csv = figure.querySelector("template.csv");
    const name = "isogain-" + (figure.dataset.view ?? "chart");
    const tools = document.createElement("span");
    tools.className = "tools save";
    const add = (label, title, act) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: label, title });
      button.addEventListener("click", act);
      tools.append(button);
    };
    if (figure.querySelector("svg")) {
      add("SVG", "Save this picture as SVG", () => saved(new Blob([drawing(figure).text], { type: "image/svg+xml" }), name + ".svg"));
      add("PNG", "Save this picture as PNG", async () => saved(await picture(figure), name + ".png"));
    }
    const numbers = figure.numbers ?? (csv && (() => csv.content.textContent));
    if (numbers) add("CSV", "Save its numbers as CSV", () => saved(new Blob([numbers()], { type: "text/csv" }), name + ".csv"));
    const details = figure.querySelector("details");
    if (tools.childElementCount) details ? details.before(tools) : figure.append(tools);
  }
});
