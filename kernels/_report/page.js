// Tables are sorted by a click on a heading and filtered by words; each chart is drawn from the data that stands beside it.
for (const box of document.querySelectorAll(".sheet")) {
  const table = box.querySelector("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const filter = box.querySelector("input");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = [...row.cells].map((cell) => cell.textContent.toLowerCase()).join(" ");
      row.hidden = !words.every((word) => text.includes(word));
    }
    box.querySelector("output").value = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  });
  for (const [i, heading] of [...table.tHead.rows[0].cells].entries()) {
    heading.firstElementChild.addEventListener("click", () => {
      const sign = heading.ariaSort === "ascending" ? -1 : 1;
      for (const other of heading.parentElement.cells) other.ariaSort = null;
      heading.ariaSort = sign === 1 ? "ascending" : "descending";
      const number = (cell) => ("key" in cell.dataset ? Number(cell.dataset.key) : NaN);
      const order = new Intl.Collator("en", { numeric: true });
      rows.sort(({ cells: a }, { cells: b }) => {
        const [x, y] = [number(a[i]), number(b[i])];
        if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1; // what has no number comes last either way
        return sign * (isNaN(x) ? order.compare(a[i].textContent, b[i].textContent) : x - y);
      });
      body.append(...rows);
    });
  }
}
for (const place of document.querySelectorAll(".chart")) {
  const chart = JSON.parse(place.nextElementSibling.textContent);
  vegaEmbed(place, chart, { renderer: "svg", ast: true, actions: false });
}
