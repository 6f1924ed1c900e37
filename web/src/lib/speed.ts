/** How fast bytes go, from what was seen in the last seconds; nothing where too little was seen. */

const WINDOW_S = 10;
const LEAST_S = 2;

export interface Seen {
  /** In seconds, on any clock. */
  at: number;
  bytes: number;
}

/** What was seen in the window, with the newest last; going back to fewer bytes begins anew. */
export function seen(before: Seen[], at: number, bytes: number): Seen[] {
  const last = before.at(-1);
  if (last && bytes < last.bytes) return [{ at, bytes }];
  const from = at - WINDOW_S;
  // The last one before the window stays, so that the window is always covered.
  const start = Math.max(0, before.findLastIndex((one) => one.at <= from));
  return [...before.slice(start), { at, bytes }];
}

/** Bytes a second up to `now`; undefined in the first seconds. */
export function speed(samples: Seen[], now: number): number | undefined {
  const first = samples[0];
  const last = samples.at(-1);
  if (!first || !last) return undefined;
  const seconds = Math.max(now, last.at) - first.at;
  return seconds < LEAST_S ? undefined : (last.bytes - first.bytes) / seconds;
}

/** How long the rest takes at a speed, in words; nothing where that cannot be said. */
export function timeLeft(bytes: number, bytesPerSecond: number | undefined): string {
  if (!bytesPerSecond || bytes <= 0) return "";
  const seconds = bytes / bytesPerSecond;
  if (seconds < 10) return "a few seconds left";
  if (seconds < 90) return `about ${Math.round(seconds / 10) * 10} s left`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
  if (seconds < 172_800) return `about ${Math.round(seconds / 3600)} h left`;
  return "more than two days left";
}
