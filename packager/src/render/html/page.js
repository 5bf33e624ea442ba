"use strict";
// The script reads names from the page and writes them back as text only, never as markup.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const find = (id) => document.getElementById(id);
const rows = all("tbody tr");
const texts = rows.map((row) => row.textContent.toLowerCase());
const marked = all("[data-findings]");
const findings = new Map(marked.map((item) => [item, new Set(item.dataset.findings.split(" "))]));
// The row of a finding for a group names two servers: the search must find the row by the others too.
for (const [item, indices] of findings) {
  const names = (item.closest("li") || item).textContent.toLowerCase();
  indices.forEach((index) => { texts[index] += ` ${names}`; });
}
const parts = all("details, .servers li").map((part) => [part, part.textContent.toLowerCase()]);
let chosen = null;

function searchWords() {
  return find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
}

function show() {
  const words = searchWords();
  const severities = new Set(all("[name=severity]:checked").map((box) => box.value));
  const indices = chosen && findings.get(chosen);
  let shown = 0;
  rows.forEach((row, index) => {
    row.hidden = !severities.has(row.dataset.severity)
      || (indices && !indices.has(String(index)))
      || !words.every((word) => texts[index].includes(word));
    shown += row.hidden ? 0 : 1;
  });
  const of = chosen ? ` about ${chosen.dataset.name}` : "";
  find("shown").textContent = `${shown} of ${rows.length} findings${of}`;
  find("all").hidden = !chosen;
  document.body.classList.toggle("choice", Boolean(chosen));
  for (const [item, own] of findings) {
    item.classList.toggle("chosen", Boolean(indices) && [...own].some((index) => indices.has(index)));
  }
}

// The search also hides pictures and list entries without a match.
function search() {
  const words = searchWords();
  const has = (text) => words.every((word) => text.includes(word));
  for (const [part, text] of parts) {
    part.hidden = !has(text);
    if (words.length && part.matches("details")) part.open = !part.hidden;
  }
  show();
}

function choose(item) {
  chosen = item;
  show();
}

// The item that an arrow key selects: the nearest one above or below in the same column, or in the
// column to the left or right.
function next(item, key) {
  const from = item.getBoundingClientRect();
  const across = key === "ArrowLeft" || key === "ArrowRight";
  const sign = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
  const others = all("a", item.closest(".picture")).map((other) => {
    const to = other.getBoundingClientRect();
    const dx = to.left - from.left;
    const dy = to.top + to.height / 2 - from.top - from.height / 2;
    return { other, along: sign * (across ? dx : dy), aside: Math.abs(across ? dy : dx) };
  });
  const ahead = others.filter(({ along, aside }) => along > 1 && (across || aside < 1));
  ahead.sort((a, b) => a.along - b.along || a.aside - b.aside);
  return ahead.length ? ahead[0].other : null;
}

// The Tab key stops once at each picture; within a picture the arrow keys move the focus.
for (const picture of all(".picture")) {
  const items = all("a", picture);
  const stop = (item) => items.forEach((other) => { other.tabIndex = other === item ? 0 : -1; });
  stop(items[0]);
  items.forEach((item) => item.addEventListener("focus", () => stop(item)));
  picture.addEventListener("keydown", (event) => {
    const item = event.target.closest("a");
    const other = item && event.key.startsWith("Arrow") && next(item, event.key);
    if (other) {
      event.preventDefault();
      other.focus();
    }
  });
}

document.addEventListener("click", (event) => {
  const item = event.target.closest("a[data-findings]");
  if (item) {
    event.preventDefault();
    choose(item);
    const first = rows.find((row) => !row.hidden);
    if (first) first.scrollIntoView({ block: "nearest" });
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen) {
    chosen.focus();
    choose(null);
  }
});
find("zoom")?.addEventListener("input", (event) => {
  document.documentElement.style.setProperty("--zoom", event.target.value / 100);
});
if (rows.length) {
  all(".tools").forEach((tools) => { tools.hidden = false; });
  find("search").addEventListener("input", search);
  all("[name=severity]").forEach((box) => box.addEventListener("change", show));
  find("all").addEventListener("click", () => choose(null));
  document.forms[0].addEventListener("submit", (event) => event.preventDefault());
  show();
}
