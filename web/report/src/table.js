// A table that can be sorted, filtered and paged: of 20,000 rows only a page is in the document.

import { fill, h, hiddenText, refill, scrollBox } from "./dom.js";
import { cut, number } from "./format.js";

const SEARCHED = 2000; // characters of a row that the filter reads

/**
 * A column. `value` is what is sorted and, without `text`, shown; null sorts last.
 * @typedef {{
 *   name: string, words?: string, numeric?: boolean, wide?: boolean,
 *   value: (row: any) => any, text?: (row: any) => any, shown?: (row: any) => any,
 * }} Column
 */

/**
 * A table. `columns` may be a function of nothing, where they follow the document.
 * @param {{
 *   caption: string, columns: Column[], noun: string, page?: number,
 *   mark?: (row: any) => string | null, order?: {column: string | null, down: boolean},
 * }} given
 */
export function sortedTable({
  caption,
  columns,
  noun,
  page = 25,
  mark = () => null,
  order = { column: null, down: false },
}) {
  let rows = [];
  let hay = null; // what the filter reads, made when somebody filters
  let matching = [];
  let sorted = order;
  let words = "";
  let first = 0;

  const head = h("tr", {});
  const body = h("tbody", {});
  const told = h("p", { class: "told", role: "status" });
  const filter = /** @type {HTMLInputElement} */ (
    h("input", {
      type: "search",
      placeholder: "filter",
      "aria-label": `Filter ${noun}`,
      autocomplete: "off",
      spellcheck: "false",
      onfocus: () => readable(),
      oninput: () => {
        words = filter.value.trim().toLowerCase();
        first = 0;
        find();
      },
    })
  );
  const back = h("button", { type: "button", class: "quiet", onclick: () => turn(-1) }, "Previous");
  const on = h("button", { type: "button", class: "quiet", onclick: () => turn(1) }, "Next");
  const pages = h("div", { class: "pages" }, back, on);
  const box = scrollBox(
    caption,
    h("table", { class: "rows" }, h("caption", { class: "hidden-text" }, caption), h("thead", {}, head), body),
  );
  const element = h("div", { class: "sorted" }, h("div", { class: "table-head" }, filter, told, pages), box);

  function heads() {
    fill(
      head,
      columns.map((column) => {
        const mine = sorted.column === column.name;
        const direction = mine ? (sorted.down ? "descending" : "ascending") : null;
        return h(
          "th",
          { scope: "col", class: column.numeric ? "number" : null, "aria-sort": direction },
          h(
            "button",
            { type: "button", title: column.words || null, onclick: () => sortBy(column) },
            cut(column.name, 30),
            h("span", { class: "arrow", "aria-hidden": "true" }, mine ? (sorted.down ? "▾" : "▴") : ""),
          ),
        );
      }),
    );
  }

  function sortBy(column) {
    const at = columns.indexOf(column);
    sorted = { column: column.name, down: sorted.column === column.name ? !sorted.down : false };
    first = 0;
    heads();
    find();
    head.children[at].querySelector("button").focus();
  }

  function find() {
    const wanted = words.split(/\s+/).filter(Boolean);
    matching = wanted.length ? filtered(wanted) : [...rows];
    const column = columns.find((one) => one.name === sorted.column);
    if (column) {
      const keyed = matching.map((row) => [column.value(row), row]);
      keyed.sort(([a], [b]) => compare(a, b, sorted.down));
      matching = keyed.map(([, row]) => row);
    }
    show();
  }

  function filtered(wanted) {
    readable();
    return rows.filter((_, at) => wanted.every((word) => hay[at].includes(word)));
  }

  function readable() {
    if (hay !== null) return;
    hay = rows.map((row) =>
      columns
        .map(
          (column) =>
            String(column.value(row) ?? "").slice(0, SEARCHED) +
            (column.text ? ` ${cut(column.text(row), SEARCHED)}` : ""),
        )
        .join("\n")
        .toLowerCase(),
    );
  }

  function show() {
    first = Math.max(0, Math.min(first, Math.floor((matching.length - 1) / page) * page));
    const shown = matching.slice(first, first + page);
    const nothing = h("tr", {}, h("td", { colspan: String(columns.length), class: "muted" }, "Nothing matches."));
    refill(
      body,
      shown.map((row) =>
        h(
          "tr",
          { class: mark(row) },
          columns.map((column, at) => cell(column, row, at)),
        ),
      ),
      shown.length === 0 && rows.length > 0 ? nothing : null,
    );
    const from =
      matching.length === 0
        ? "no"
        : matching.length > page
          ? `${number(first + 1)} to ${number(first + shown.length)} of ${number(matching.length)}`
          : number(matching.length);
    fill(told, `${from} ${from === "1" ? noun.replace(/ies$/, "y").replace(/s$/, "") : noun}${matching.length < rows.length ? `, filtered from ${number(rows.length)}` : ""}`);
    pages.hidden = matching.length <= page;
    back.toggleAttribute("disabled", first === 0);
    on.toggleAttribute("disabled", first + page >= matching.length);
  }

  function cell(column, row, at) {
    const shown = column.shown ? column.shown(row) : cut(textOf(column, row), 120);
    const given = {
      class: [column.numeric ? "number" : "", column.wide ? "wide" : ""].filter(Boolean).join(" ") || null,
    };
    if (at === 0) return h("th", { ...given, scope: "row" }, shown);
    return h(
      "td",
      given,
      shown === "" || shown === null
        ? [h("span", { "aria-hidden": "true", class: "muted" }, "–"), hiddenText("none")]
        : shown,
    );
  }

  function turn(by) {
    first += by * page;
    show();
  }

  /** Other rows, and columns where they changed; sorting, filter and page stay. */
  function update(newRows, newColumns = columns) {
    columns = newColumns;
    rows = newRows;
    hay = null;
    filter.hidden = rows.length <= 8 && words === "";
    heads();
    find();
  }

  return { element, update, again: show };
}

function textOf(column, row) {
  return column.text ? column.text(row) : (column.value(row) ?? "");
}

/** The order of two values: numbers by size, text by the alphabet, what is missing last. */
export function compare(a, b, down) {
  const [none, other] = [a, b].map((value) => value === null || value === undefined || value === "");
  if (none || other) return Number(none) - Number(other);
  const order =
    typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
  return down ? -order : order;
}
