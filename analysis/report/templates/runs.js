const still = matchMedia("(prefers-reduced-motion: reduce)");
let details;

function specOf([base, lines]) {
  const text = details.bases[base].slice();
  for (const [place, line] of Object.entries(lines)) text[place] = line;
  return text.join("\n");
}

function block(heading, text, label) {
  return [made("h3", {}, heading), made("pre", { tabindex: "0", "aria-label": `${heading} of ${label}` }, text)];
}

function fill(run) {
  if (run.childElementCount > 1) return;
  details ??= json("run-details");
  const own = details.runs[run.id];
  if (!own) return;
  const told = details.keys.map((key, place) => [key, own.about[place]]).filter(([, value]) => value !== null);
  if (own.wandb && /^https?:\/\//.test(own.wandb)) {
    told.push(["W&B", made("a", { href: own.wandb, rel: "noopener noreferrer" }, own.wandb)]);
  }
  const label = run.querySelector(".run-name").textContent;
  run.append(made("dl", { class: "about" },
    ...told.map(([key, value]) => made("div", {}, made("dt", {}, key), made("dd", {}, value)))));
  if (own.log) run.append(...block("End of the log", own.log, label));
  if (own.spec) run.append(...block("Spec", specOf(own.spec), label));
}

function openRun(anchor) {
  const run = document.getElementById(anchor);
  if (!(run instanceof HTMLDetailsElement)) return;
  run.hidden = false;
  fill(run);
  run.open = true;
  const summary = run.querySelector("summary");
  summary.focus({ preventScroll: true });
  summary.scrollIntoView({ block: "start", behavior: still.matches ? "auto" : "smooth" });
}

function goTo(anchor) {
  const target = "#" + encodeURIComponent(anchor);
  if (location.hash === target) openRun(anchor);
  else location.hash = target; // so that "back" leads to the figure again
}

for (const run of document.querySelectorAll(".run")) {
  run.addEventListener("toggle", () => run.open && fill(run));
}

const filter = document.getElementById("filter");
if (filter) {
  filter.closest("p").hidden = false;
  const runs = [...document.querySelectorAll(".run")];
  const texts = runs.map((run) => `${run.textContent} ${run.id}`.toLowerCase());
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    const found = runs.filter((run, place) => {
      run.hidden = !words.every((word) => texts[place].includes(word));
      return !run.hidden;
    });
    document.getElementById("filter-count").textContent = filter.value ? `${found.length} of ${runs.length}` : "";
  });
}

const openTarget = () => openRun(decodeURIComponent(location.hash.slice(1)));
addEventListener("hashchange", openTarget);
if (location.hash) openTarget();
