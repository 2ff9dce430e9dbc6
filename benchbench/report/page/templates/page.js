"use strict";
// A heading sorts its table; pressed again, it reverses the order. Unknown values stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = Array.from(table.tHead.rows[0].cells);
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const numeric = heading.dataset.kind === "number";
      const first = numeric ? "descending" : "ascending";
      const second = numeric ? "ascending" : "descending";
      const order = heading.getAttribute("aria-sort") === first ? second : first;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => row.cells[column].dataset.sort;
      const rows = Array.from(body.rows);
      rows.sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        if (a === "" || b === "") return (a === "") - (b === "");
        return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
      });
      rows.forEach((row) => body.append(row));
    });
  });
}
// Boxes show further columns, and a search hides the rows without the text.
for (const block of document.querySelectorAll(".table")) {
  const table = block.querySelector("table");
  const rows = Array.from(table.rows);
  for (const box of block.querySelectorAll(".columns input")) {
    box.addEventListener("change", () => {
      rows.forEach((row) => { row.cells[Number(box.value)].hidden = !box.checked; });
      update();
    });
  }
  const search = block.querySelector(".search");
  if (search) search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}
// A slider moves all pictures of a case to another slice; paper shows the slice that was chosen by rule.
for (const row of document.querySelectorAll(".slides")) {
  const block = row.querySelector(".slider");
  if (!block) continue;
  const frames = JSON.parse(row.querySelector("script").textContent);
  const range = block.querySelector("input");
  const [before, after] = block.querySelectorAll("button");
  const output = row.querySelector("output");
  const [image, ...others] = Array.from(row.querySelectorAll(".cell"), (cell) => cell.querySelector("image"));
  const start = Number(range.value);
  const label = output.textContent;
  frames.images[start] = image.getAttribute("href");
  frames.masks[start] = others.map((mask) => mask.getAttribute("href") || "");
  const show = (at) => {
    image.setAttribute("href", frames.images[at]);
    others.forEach((mask, cell) => {
      const masks = frames.masks[at][cell];
      if (masks) mask.setAttribute("href", masks);
      else mask.removeAttribute("href");
    });
    output.textContent = at === start ? label : frames.labels[at];
  };
  const move = () => {
    const at = Number(range.value);
    show(at);
    range.setAttribute("aria-valuetext", frames.labels[at]);
    before.disabled = at === 0;
    after.disabled = at === frames.labels.length - 1;
  };
  before.addEventListener("click", () => { range.stepDown(); move(); });
  after.addEventListener("click", () => { range.stepUp(); move(); });
  range.addEventListener("input", move);
  window.addEventListener("beforeprint", () => show(start));
  window.addEventListener("afterprint", move);
  move();
  block.hidden = false;
}
// A shadow at the edge shows that a box can be scrolled sideways.
const boxes = Array.from(document.querySelectorAll(".scroll"));
function update() {
  for (const box of boxes) {
    const rest = box.scrollWidth - box.clientWidth - box.scrollLeft;
    box.classList.toggle("more", rest > 2);
  }
}
for (const box of boxes) box.addEventListener("scroll", update, { passive: true });
for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", update);
window.addEventListener("resize", update);
update();
