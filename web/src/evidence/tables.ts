/** The text of a workbook as sheets of rows. */

import { characterCount, sliceCharacters } from "$lib/text";

export interface Row {
  cells: string[];
  /** Characters of the whole text. */
  start: number;
  end: number;
  hidden: boolean;
}

export interface Sheet {
  name: string;
  rows: Row[];
}

/** Cells hold no such thing: in a cell, the spaces beside a bar are narrow and do not break. */
const CELLS = " | ";
const HIDDEN = /^\[hidden: (.*)\]$/;

/** Groups of rows are the text's pages; each repeats its sheet's name and header, which are shown once. */
export function sheetsOf(text: string, spans: readonly (readonly [number, number])[], places: readonly string[]): Sheet[] {
  const sheets = new Map<string, Sheet & { header: string }>();
  const pages = spans.length ? spans : [[0, characterCount(text)] as const];
  for (const [i, [from, to]] of pages.entries()) {
    const place = places[i] ?? "";
    const name = sheetOf(place);
    let sheet = sheets.get(name);
    if (!sheet) sheets.set(name, (sheet = { name, rows: [], header: "" }));
    let start = from;
    for (const [n, line] of sliceCharacters(text, from, to).split("\n").entries()) {
      const end = start + characterCount(line);
      const repeated = (n === 0 && line === name) || (line === sheet.header && n <= 1);
      if (line.trim() && !repeated) {
        if (!sheet.rows.length) sheet.header = line;
        const hidden = HIDDEN.exec(line);
        sheet.rows.push({ cells: cellsOf(hidden?.[1] ?? line), start, end, hidden: hidden !== null });
      }
      start = end + 1;
    }
  }
  return [...sheets.values()].filter(({ rows }) => rows.length).map(({ name, rows }) => ({ name, rows }));
}

/** A row's line loses the space before its first bar where its first cell is empty. */
function cellsOf(line: string): string[] {
  return (line.startsWith("| ") ? ` ${line}` : line).split(CELLS);
}

function sheetOf(place: string): string {
  return place.includes("!") ? place.slice(0, place.lastIndexOf("!")) : "";
}

/** What a page is called: `page 2`, and in a workbook `Fees, A8:C8`. */
export function placeName(places: readonly string[], page: number): string {
  const place = places[page - 1];
  if (!place) return `page ${page}`;
  const sheet = sheetOf(place);
  return sheet ? `${sheet}, ${place.slice(sheet.length + 1)}` : place;
}
