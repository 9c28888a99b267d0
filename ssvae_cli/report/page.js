// Every table.data can be sorted by its headings and filtered by the words in a field above it. Without JavaScript the
// page shows the same tables.
"use strict";

for (const table of document.querySelectorAll("table.data")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  if (rows.length > 1) {
    headings.forEach((heading, column) => addSorting(heading, column, headings, rows, body));
    addFilter(table, rows);
  }
}

function addSorting(heading, column, headings, rows, body) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent;
  heading.replaceChildren(button);
  heading.setAttribute("aria-sort", "none");
  button.addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of headings) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value;
    const words = heading.classList.contains("text");
    const compare = words
      ? (a, b) => value(a).localeCompare(value(b), "en", { numeric: true })
      : (a, b) => Number(value(a)) - Number(value(b));
    const known = rows.filter((row) => value(row) !== "").sort((a, b) => (down ? -1 : 1) * compare(a, b));
    const missing = rows.filter((row) => value(row) === ""); // last in both directions
    body.append(...known, ...missing);
  });
}

function addFilter(table, rows) {
  const label = document.createElement("label");
  const field = document.createElement("input");
  const count = document.createElement("output");
  const line = document.createElement("div");
  field.type = "search";
  field.id = table.id + "-filter";
  field.setAttribute("aria-controls", table.id);
  label.htmlFor = count.htmlFor = field.id;
  label.textContent = "Rows with all of these words";
  line.className = "filter";
  line.append(label, field, count);
  table.parentElement.before(line);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    count.textContent = words.length ? rows.filter((row) => !row.hidden).length + " of " + rows.length + " rows" : "";
  });
}
