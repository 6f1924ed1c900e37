/** The states of an import's files: in which order, in which words and colours they are shown. */

import { plural } from "$lib/format";
import { roughly } from "$lib/folders";
import type { Tally, TimeLeft } from "$lib/types";

export type State = keyof Tally;

/** From what is over to what is to come; the living bar is filled in this order. */
export const STATES: { state: State; label: string; colour: string }[] = [
  { state: "ready", label: "ready", colour: "var(--good)" },
  { state: "duplicate", label: "there already", colour: "color-mix(in srgb, var(--good) 45%, var(--surface))" },
  { state: "locked", label: "asks for a password", colour: "var(--warn)" },
  { state: "failed", label: "failed", colour: "var(--bad)" },
  { state: "cancelled", label: "cancelled", colour: "var(--line-strong)" },
  { state: "removed", label: "removed", colour: "var(--line)" },
  { state: "working", label: "being worked on", colour: "var(--accent)" },
  { state: "queued", label: "queued", colour: "color-mix(in srgb, var(--accent) 55%, var(--surface))" },
  { state: "sending", label: "being sent", colour: "color-mix(in srgb, var(--accent) 30%, var(--surface))" },
  { state: "waiting", label: "to be sent", colour: "var(--sunken)" },
];

export function total(tally: Tally): number {
  return Object.values(tally).reduce((sum, files) => sum + files, 0);
}

/** Files that have come to rest. */
export function resting(tally: Tally): number {
  return total(tally) - tally.waiting - tally.sending - tally.queued - tally.working;
}

/** What a filter by state asks the server for. */
export function asked(state: State): string {
  return state === "queued" ? "received,queued,retrying" : state;
}

/** An estimate in words; the range in which it lies stands behind it. */
export function leftInWords(left: TimeLeft): string {
  const [low, likely, high] = [left.low, left.likely, left.high].map(roughly);
  return low === high ? `about ${likely}` : `about ${likely} (${low} to ${high})`;
}

/** Where an import stands, in a few words. */
export function standing(state: string, tally: Tally): string {
  switch (state) {
    case "manifest":
      return "being listed";
    case "transferring":
      return "being sent";
    case "processing":
      return "being worked on";
    case "done_with_failures":
      return `done, ${plural(tally.failed, "failure")}`;
    case "cancelling":
      return "being cancelled";
    default:
      return state;
  }
}
