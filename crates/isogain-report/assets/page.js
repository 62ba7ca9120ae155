"use strict";
// Everything on this page is there without this script. It copies the recipe, and reads charts out below them while the
// pointer or the arrow keys move over them.
(() => {
  const button = document.getElementById("copy");
  const toml = document.getElementById("toml");
  if (button && toml) {
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
  }

  for (const figure of document.querySelectorAll("figure.chart")) {
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
      if (to === undefined) return;
      event.preventDefault();
      show(to);
    });
  }
})();
