// The live page: newer parts take the place of older ones; what is open, chosen and looked at stays.
bind(document);
document.documentElement.dataset.ready = "yes";
const events = document.body.dataset.events;
if (events) {
  const state = document.createElement("p");
  state.className = "live soft";
  state.setAttribute("role", "status");
  document.querySelector("footer").before(state);
  const source = new EventSource(events);
  const replace = ({ id, html }) => {
    const old = document.getElementById("part-" + id);
    if (!old) return;
    // Parsed apart from this document, and nothing in it runs: the policy forbids it a second time.
    const parsed = new DOMParser().parseFromString(html, "text/html");
    const open = [...old.querySelectorAll("details")].map((details) => details.open);
    const scrolled = [...old.querySelectorAll(".scroll")].map((element) => element.scrollLeft);
    const focused = old.contains(document.activeElement) && document.activeElement.matches("svg");
    old.replaceChildren(...parsed.body.childNodes);
    bind(old);
    old.querySelectorAll("details").forEach((details, index) => { details.open = open[index] ?? details.open; });
    old.querySelectorAll(".scroll").forEach((element, index) => { element.scrollLeft = scrolled[index] ?? 0; });
    if (focused) old.querySelector("svg")?.focus({ preventScroll: true });
  };
  source.addEventListener("part", (event) => {
    replace(JSON.parse(event.data));
    document.documentElement.dataset.updates = Number(document.documentElement.dataset.updates ?? 0) + 1;
  });
  source.addEventListener("state", (event) => { state.textContent = JSON.parse(event.data); });
  source.addEventListener("open", () => { state.textContent = "live"; });
  source.addEventListener("error", () => { state.textContent = "not connected; what you see is the last that came"; });
}
