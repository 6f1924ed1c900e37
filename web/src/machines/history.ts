/** A machine at every step of its journal: contexts by applying changes, and how long stages took. */

import { isLive } from "$lib/stages";
import type { Change, Context, JournalEntry, Stage } from "./model";

type Inner = Record<string, unknown>;

/** The context after `changes`; what they do not touch is shared with the one before. */
export function apply(context: Context, changes: readonly Change[]): Context {
  return replaced(context, changes, (change) => (change.what === "removed" ? undefined : { value: change.new }));
}

/** The context before `changes`. */
export function revert(context: Context, changes: readonly Change[]): Context {
  return replaced(context, changes, (change) => (change.what === "added" ? undefined : { value: change.old }));
}

function replaced(context: Context, changes: readonly Change[], valueOf: (change: Change) => { value: unknown } | undefined): Context {
  const result: Inner = { ...context };
  const copied = new Map<string, Inner>([["", result]]);
  for (const change of changes) {
    let inner = result;
    for (const [depth, key] of change.path.slice(0, -1).entries()) {
      const place = JSON.stringify(change.path.slice(0, depth + 1));
      let next = copied.get(place);
      if (!next) {
        next = { ...(inner[key] as Inner) };
        copied.set(place, next);
        inner[key] = next;
      }
      inner = next;
    }
    const last = change.path.at(-1)!;
    const value = valueOf(change);
    if (value) inner[last] = value.value;
    else delete inner[last];
  }
  return result;
}

/** The context after each entry. An entry that takes a revision anew goes on from the one before it. */
export function contextsOf(base: { revision: number; context: Context }, entries: readonly JournalEntry[]): Context[] {
  const known = new Map<number, Context>([[base.revision, base.context]]);
  let latest = base.context;
  return entries.map((entry) => {
    latest = apply(known.get(entry.revision - 1) ?? latest, entry.changes);
    known.set(entry.revision, latest);
    return latest;
  });
}

export interface Segment {
  stage: string;
  status: string;
  attempt: number;
  from: number;
  to: number;
  /** It lasts at the end of what is known. */
  open: boolean;
}

/** What each stage did when, stages in the order in which they began; `end` closes what still lasts. */
export function segmentsOf(entries: readonly JournalEntry[], contexts: readonly Context[], end: number): Segment[] {
  const segments: Segment[] = [];
  const open = new Map<string, Segment>();
  const close = (stage: string, at: number) => {
    const segment = open.get(stage);
    if (!segment) return;
    segment.to = Math.max(at, segment.from);
    segment.open = false;
    open.delete(stage);
  };
  for (const [i, entry] of entries.entries()) {
    const work = (contexts[i]?.work ?? {}) as Record<string, Stage>;
    for (const [stage, now] of Object.entries(work)) {
      const current = open.get(stage);
      const lives = isLive(now) && entry.to.includes(stage);
      if (current && lives && current.status === now.status && current.from === now.since) continue;
      if (current) close(stage, entry.at);
      if (!lives) continue;
      const segment = { stage, status: now.status, attempt: now.attempt, from: now.since, to: end, open: true };
      segments.push(segment);
      open.set(stage, segment);
    }
  }
  for (const segment of open.values()) segment.to = Math.max(end, segment.from);
  return segments;
}

/** What an entry did to stages of work, such as `linking running`. */
export function workOf(entry: JournalEntry): string[] {
  return entry.changes.flatMap(({ path, new: value }) => {
    const [top, stage, field] = path;
    if (top !== "work" || !stage) return [];
    if (field === "status") return [`${stage} ${String(value)}`];
    return field === undefined && value ? [`${stage} ${(value as Stage).status}`] : [];
  });
}
