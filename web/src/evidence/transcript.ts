/** The text of a recording as lines with the moments at which they are said. */

import { characterCount } from "$lib/text";

export interface Line {
  /** Seconds from the beginning; undefined for what is not said but written in the recording. */
  at: number | undefined;
  text: string;
  /** Characters of the whole text. */
  start: number;
  end: number;
}

const CODE = /^\[(\d+):(\d\d):(\d\d)\] (.*)$/;

export function linesOf(text: string): Line[] {
  const lines: Line[] = [];
  let start = 0;
  for (const whole of text.split("\n")) {
    const end = start + characterCount(whole);
    const found = CODE.exec(whole);
    if (found) {
      const at = Number(found[1]) * 3600 + Number(found[2]) * 60 + Number(found[3]);
      lines.push({ at, text: found[4]!, start, end });
    } else if (whole.trim()) {
      lines.push({ at: undefined, text: whole, start, end });
    }
    start = end + 1;
  }
  return lines;
}

/** The line that is being said at a moment: the last that has begun; -1 before the first. */
export function lineAt(lines: readonly Line[], seconds: number): number {
  return lines.findLastIndex(({ at }) => at !== undefined && at <= seconds);
}

export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, "0"));
  return whole >= 3600 ? `${Math.floor(whole / 3600)}:${parts.join(":")}` : parts.join(":");
}
