/** What reading a file has brought to light, out of its facts; whatever is missing is empty. */

import type { Box } from "$lib/types";

export interface Redaction {
  page: number;
  box: Box;
  text: string;
}

export interface Annotation {
  page: number;
  kind: string;
  author: string;
  text: string;
  at: string;
  marked?: string;
}

export interface Still {
  name: string;
  /** Seconds into the recording; undefined where its name does not tell. */
  at: number | undefined;
}

export interface Findings {
  notice: string;
  /** Confidence from 0 to 1 by page, of pages whose text was recognised in a picture. */
  recognised: Map<number, number>;
  language: string;
  /** Pages that are pictures whose text was not recognised. */
  unread: number[];
  redactions: Redaction[];
  annotations: Annotation[];
  form: [string, string][];
  width: number;
  height: number;
  takenAt: string;
  camera: string;
  place: { lat: number; lon: number } | undefined;
  durationS: number;
  transcript: "available" | "unavailable" | "";
  sheets: string[];
  /** Where each group of rows stands, such as `Sheet1!A2:F14`. */
  places: string[];
  stills: Still[];
}

/** Facts that are shown by a panel or a viewer of their own. */
export const SHOWN_ELSEWHERE = new Set([
  "notice", "pages", "ocr", "ocr_needed", "ocr_failed", "ocr_layer", "redactions", "annotations", "form", "derived",
  "places", "place", "taken_at", "camera", "width", "height", "duration_s", "streams", "transcript", "phash",
  "thread", "sheets",
]);

type Facts = Record<string, unknown>;

export function findingsOf(meta: Facts): Findings {
  const ocr = (meta["ocr"] ?? {}) as { pages?: number[]; confidence?: Record<string, number>; language?: string };
  const derived = listOf<{ name: string; media_type: string }>(meta["derived"]);
  return {
    notice: textOf(meta["notice"]),
    recognised: new Map((ocr.pages ?? []).map((page) => [page, ocr.confidence?.[String(page)] ?? 0])),
    language: ocr.language ?? "",
    unread: listOf<number>(meta["ocr_needed"]),
    redactions: listOf<Redaction>(meta["redactions"]),
    annotations: listOf<Annotation>(meta["annotations"]),
    form: Object.entries((meta["form"] ?? {}) as Record<string, string>),
    width: Number(meta["width"] ?? 0),
    height: Number(meta["height"] ?? 0),
    takenAt: textOf(meta["taken_at"]),
    camera: textOf(meta["camera"]),
    place: meta["place"] as { lat: number; lon: number } | undefined,
    durationS: Number(meta["duration_s"] ?? 0),
    transcript: meta["transcript"] === "available" || meta["transcript"] === "unavailable" ? meta["transcript"] : "",
    sheets: listOf<string>(meta["sheets"]).map(String),
    places: listOf<string>(meta["places"]),
    stills: derived.filter(({ media_type }) => media_type.startsWith("image/")).map(({ name }) => ({ name, at: momentOf(name) })),
  };
}

/** `still-00.01.23.400.jpg` shows second 83.4. */
function momentOf(name: string): number | undefined {
  const found = /(\d+)\.(\d\d)\.(\d\d)(\.\d{1,3})?\.\w+$/.exec(name);
  if (!found) return undefined;
  return Number(found[1]) * 3600 + Number(found[2]) * 60 + Number(found[3]) + Number(found[4] ?? 0);
}

/** Degrees as people write them; `52.5163° N, 13.3777° E`. */
export function coordinates({ lat, lon }: { lat: number; lon: number }): string {
  const side = (value: number, positive: string, negative: string) =>
    `${Math.abs(value).toFixed(5)}° ${value < 0 ? negative : positive}`;
  return `${side(lat, "N", "S")}, ${side(lon, "E", "W")}`;
}

const WALL_TIME = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z|[+-]\d\d(?::?\d\d)?)?)?$/;

/** The clock on the wall where a file was made, as it stood: `May 3, 2024, 8:47 AM (UTC+02:00)`, wherever the reader is. */
export function wallTime(iso: string): string {
  const [, day, clock, offset] = WALL_TIME.exec(iso.trim()) ?? [];
  const at = new Date(`${day}T${clock ?? "00:00"}Z`);
  // A date that no calendar has, such as February 31, would be moved to one that it has.
  if (Number.isNaN(at.getTime()) || !at.toISOString().startsWith(day!)) return iso;
  const style = clock ? ({ dateStyle: "medium", timeStyle: "short" } as const) : ({ dateStyle: "medium" } as const);
  const shown = new Intl.DateTimeFormat(undefined, { ...style, timeZone: "UTC" }).format(at);
  return clock ? `${shown} (${zoneOf(offset)})` : shown;
}

/** `+0200`, `+02` and `+02:00` are the same. */
function zoneOf(offset: string | undefined): string {
  if (!offset) return "time zone not told";
  const [, sign, hours, minutes = "00"] = /^([+-])(\d\d):?(\d\d)?$/.exec(offset) ?? [];
  if (!hours || (hours === "00" && minutes === "00")) return "UTC";
  return `UTC${sign === "-" ? "−" : "+"}${hours}:${minutes}`;
}

/** Tesseract's codes as names: `eng+deu` are English and German. */
export function languages(codes: string): string {
  const names = new Intl.DisplayNames(undefined, { type: "language", fallback: "code" });
  return codes
    .split("+")
    .map((code) => (/^[a-z]{2,3}$/i.test(code) ? names.of(code)! : code))
    .join(" and ");
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** Page numbers as runs: `1–3, 7`. */
export function runs(pages: readonly number[]): string {
  const parts: string[] = [];
  const sorted = [...pages].sort((a, b) => a - b);
  for (let i = 0; i < sorted.length; ) {
    let last = i;
    while (last + 1 < sorted.length && sorted[last + 1] === sorted[last]! + 1) last += 1;
    parts.push(last > i ? `${sorted[i]}–${sorted[last]}` : String(sorted[i]));
    i = last + 1;
  }
  return parts.join(", ");
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function listOf<T>(value: unknown): T[] {
  return Array.isArray(value) ? (value as T[]) : [];
}
