/** Dated entries of a case: what the server tells, grouped and drawn. */

export type EntryKind = "told" | "mail" | "document" | "picture";

export interface TimelineEntry {
  at: string;
  kind: EntryKind;
  otherwise: string;
  evidence: number;
  title: string;
  page: number;
  start: number;
  end: number;
  chunk: number;
  before: string;
  written: string;
  behind: string;
  names: { node: number; name: string; kind: string }[];
}

export interface TimelineMonth {
  month: string;
  entries: number;
}

export interface TimelinePage {
  entries: TimelineEntry[];
  day_first: boolean;
  by_day: number;
  by_month: number;
  ambiguous: number;
  months: TimelineMonth[];
}

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/** `2001-06-04T09:30` in words, as exact as it is told. */
export function dateInWords(at: string): string {
  const [day = "", time = ""] = at.split(/[T ]/);
  const [year = "", month, date] = day.split("-");
  const name = month ? (MONTHS[Number(month) - 1] ?? month) : "";
  const said = [date ? String(Number(date)) : "", name, year].filter(Boolean).join(" ");
  const clock = time.slice(0, 5);
  return clock && clock !== "00:00" ? `${said}, ${clock}` : said;
}

export interface Group {
  key: string;
  entries: TimelineEntry[];
}

/** Entries, which come in order, by their month; what has no month stands under its year. */
export function byMonth(entries: TimelineEntry[]): Group[] {
  const groups: Group[] = [];
  for (const entry of entries) {
    const key = entry.at.slice(0, 7);
    const last = groups.at(-1);
    if (last?.key === key) last.entries.push(entry);
    else groups.push({ key, entries: [entry] });
  }
  return groups;
}

export interface Bar {
  month: string;
  /** 0 to 1 from left to right, and up. */
  x: number;
  width: number;
  height: number;
  entries: number;
}

/** The strip of months: one bar each, from the first to the last, at most `most` wide; far outliers shrink the bars. */
export function bars(months: TimelineMonth[]): Bar[] {
  const placed = months.map(({ month, entries }) => ({ month, entries, at: monthNumber(month) }));
  if (!placed.length) return [];
  const first = Math.min(...placed.map(({ at }) => at));
  const span = Math.max(...placed.map(({ at }) => at)) - first + 1;
  const tallest = Math.max(...placed.map(({ entries }) => entries));
  return placed.map(({ month, entries, at }) => ({
    month,
    entries,
    x: (at - first) / span,
    width: 1 / span,
    // A root, so that a month with one entry is still seen beside one with a thousand.
    height: Math.sqrt(entries / tallest),
  }));
}

function monthNumber(month: string): number {
  return Number(month.slice(0, 4)) * 12 + (month.length > 4 ? Number(month.slice(5, 7)) - 1 : 0);
}
