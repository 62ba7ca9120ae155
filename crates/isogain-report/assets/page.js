// Everything on this page is there without this script. The pieces below are run again on every part that comes anew.
const bindings = [];
const bind = (root) => bindings.forEach((binding) => binding(root));
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// Copies the recipe.
bindings.push((root) => {
  const button = root.querySelector("#copy");
  const toml = root.querySelector("#toml");
  if (!button || !toml) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(toml.textContent);
      button.textContent = "Copied";
    } catch {
      // Without access to the clipboard the recipe is selected, ready to be copied by hand.
      getSelection().selectAllChildren(toml);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
});

// Reads charts out below them while the pointer or the arrow keys move over them.
bindings.push((root) => {
  for (const figure of root.querySelectorAll("figure.chart")) {
    const strips = [...figure.querySelectorAll(".strips rect")];
    const reading = figure.querySelector(".reading");
    const svg = figure.querySelector("svg");
    if (!strips.length || !reading) continue;
    let current = -1;
    const show = (index) => {
      strips[current]?.classList.remove("current");
      current = index;
      strips[current]?.classList.add("current");
      reading.textContent = strips[current]?.querySelector("title").textContent ?? "";
    };
    strips.forEach((strip, index) => strip.addEventListener("pointerenter", () => show(index)));
    svg.addEventListener("pointerleave", () => show(-1));
    svg.addEventListener("blur", () => show(-1));
    svg.addEventListener("keydown", (event) => {
      const last = strips.length - 1;
      const to = { ArrowRight: Math.min(current + 1, last), ArrowLeft: Math.max(current - 1, 0), Home: 0, End: last }[event.key];
      if (event.key === "Enter" && strips[current]?.dataset.layer !== undefined) select(strips[current].dataset.layer);
      if (to === undefined) return;
      event.preventDefault();
      show(to);
    });
  }
});
