/** Text addressed by Unicode characters, as the server counts them, not by UTF-16 units. */

const SURROGATE = /[\ud800-\udfff]/;

/** The UTF-16 offset at which character number `characters` begins. */
export function unitOffset(text: string, characters: number): number {
  if (!SURROGATE.test(text)) return Math.min(Math.max(characters, 0), text.length);
  let unit = 0;
  for (let left = characters; left > 0 && unit < text.length; left -= 1) {
    unit += text.codePointAt(unit)! > 0xffff ? 2 : 1;
  }
  return unit;
}

export function characterCount(text: string): number {
  if (!SURROGATE.test(text)) return text.length;
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

export function sliceCharacters(text: string, start: number, end?: number): string {
  return text.slice(unitOffset(text, start), end === undefined ? undefined : unitOffset(text, end));
}

export interface Segment {
  text: string;
  marked: boolean;
}

/** Cut `text` at the borders of `ranges` (character offsets, any order, overlaps allowed). */
export function segments(text: string, ranges: readonly (readonly [number, number])[]): Segment[] {
  const sorted = ranges
    .map(([start, end]) => [unitOffset(text, start), unitOffset(text, end)] as const)
    .filter(([start, end]) => end > start)
    .sort((a, b) => a[0] - b[0]);
  const parts: Segment[] = [];
  let at = 0;
  for (const [start, end] of sorted) {
    const from = Math.max(start, at);
    if (end <= from) continue;
    if (from > at) parts.push({ text: text.slice(at, from), marked: false });
    const last = parts.at(-1);
    if (last?.marked && from === at) last.text += text.slice(from, end);
    else parts.push({ text: text.slice(from, end), marked: true });
    at = end;
  }
  if (at < text.length) parts.push({ text: text.slice(at), marked: false });
  return parts;
}
