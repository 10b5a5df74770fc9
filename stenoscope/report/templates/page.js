// Folded parts are printed too, and folded again afterwards.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const part of opened) part.open = true;
});
addEventListener("afterprint", () => { for (const part of opened) part.open = false; });

// Tables that are wider than the page say so, and can be scrolled by the keyboard.
const watch = new ResizeObserver(entries => {
  for (const { target } of entries) {
    const wide = target.scrollWidth > target.clientWidth + 1;
    target.previousElementSibling.hidden = !wide;
    if (wide) target.tabIndex = 0; else target.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll(".scroll")) {
  const more = document.createElement("p");
  Object.assign(more, { className: "more", textContent: "more columns: scroll sideways \u2192", hidden: true });
  box.before(more);
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "table");
  watch.observe(box);
}

// Tables that can be searched and sorted.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows];
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => {
        const [one, other] = [value(a, column), value(b, column)];
        return one - other || one.localeCompare(other, "en", { numeric: true });
      });
      if (down) rows.reverse();
      body.append(...rows);
    });
  });
  const find = document.querySelector(`.find[data-table="${table.id}"]`);
  find.hidden = false;
  find.querySelector("input").addEventListener("input", event => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    }
    const shown = rows.filter(row => !row.hidden).length;
    find.querySelector("output").textContent = words.length ? `${shown} of ${rows.length} shown` : "";
  });
}
