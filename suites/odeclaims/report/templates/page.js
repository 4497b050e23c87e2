"use strict";
(() => {
  // A number at the start of a cell, as in "0.64 [0.63, 0.66]" or "<= 1e-5", but not "2pi/5".
  const NUMBER = /^[<>=\s]*([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?![\w/.,])/i;
  const collator = new Intl.Collator("en", { numeric: true });

  // What stands in a cell without its name and the small print.
  const valueOf = (cell) => {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll(".name, small").forEach((part) => part.remove());
    return copy.textContent.trim();
  };

  const numberOf = (text) => {
    const found = NUMBER.exec(text);
    return found ? Number(found[1]) : NaN;
  };

  // A column is one of numbers where most of its cells are; what is none comes last either way.
  const comparison = (texts, sign) => {
    const filled = texts.filter((text) => text);
    const numbers = filled.filter((text) => !Number.isNaN(numberOf(text)));
    if (2 * numbers.length <= filled.length) return (a, b) => sign * collator.compare(a, b);
    return (a, b) => {
      const [x, y] = [numberOf(a), numberOf(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return sign * (x - y);
    };
  };

  const sort = (table, heading) => {
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    const rows = [...table.tBodies[0].rows];
    const texts = new Map(rows.map((row) => [row, valueOf(row.cells[heading.cellIndex])]));
    const compare = comparison([...texts.values()], ascending ? 1 : -1);
    rows.sort((a, b) => compare(texts.get(a), texts.get(b)));
    table.tBodies[0].append(...rows);
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    if (table.tBodies[0].rows.length < 2) continue;
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, heading));
      heading.append(button);
    }
  }

  const named = (id) => document.getElementById(id);
  // The page of one claim has nothing to filter.
  if (!named("controls")) return;
  const [verdict, scale, words] = ["verdict", "scale", "words"].map(named);
  const sections = [...document.querySelectorAll("section.claim")];
  const entries = [...document.querySelectorAll(".overview tbody tr")].map((row) => ({
    row,
    sections: sections.filter((section) => section.dataset.claim === row.dataset.claim),
    outcomes: row.dataset.outcomes.split("|"),
    text: row.textContent.toLowerCase(),
  }));

  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const { row, sections, outcomes, text } of entries) {
      const match =
        (!verdict.value || outcomes.includes(verdict.value)) &&
        (!scale.value || row.dataset.scale === scale.value) &&
        wanted.every((word) => text.includes(word));
      row.hidden = !match;
      for (const section of sections) section.hidden = !match;
      count += match;
    }
    named("shown").value = `${count} of ${entries.length} shown`;
  };

  // A link into a section that is filtered out would lead nowhere.
  const reveal = () => {
    const target = named(decodeURIComponent(location.hash.slice(1)));
    if (!target?.closest("[hidden]")) return;
    verdict.value = scale.value = words.value = "";
    filter();
    target.scrollIntoView();
  };

  for (const control of [verdict, scale, words]) control.addEventListener("input", filter);
  addEventListener("hashchange", reveal);
  named("controls").hidden = false;
  filter();
})();
