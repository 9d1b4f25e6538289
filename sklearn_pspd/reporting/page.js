"use strict";
// Tables whose rows may be put in another order get buttons in their headings.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const original = [...table.tBodies[0].rows];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "" }[heading.getAttribute("aria-sort")] ?? "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      const rows = [...original];
      if (next) {
        heading.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        rows.sort((a, b) => sign * compare(a.cells[column].textContent, b.cells[column].textContent));
      }
      table.tBodies[0].append(...rows);
    });
  });
}

// Numbers by value, before text; cells without either come first.
function compare(a, b) {
  const [x, y] = [a, b].map((text) => parseFloat(text.replace(/^[<>]\s*/, "")));
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y || a.localeCompare(b);
  return a.localeCompare(b);
}

// What is folded is printed too.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
