/** Two texts, word by word: what stands in both, only in the first, or only in the second. */

import { diffArrays, diffWordsWithSpace } from "diff";

export interface Piece {
  kind: "same" | "gone" | "new";
  text: string;
}

export interface Skipped {
  kind: "skipped";
  characters: number;
}

/** Characters that stay in view on either side of a difference. */
const AROUND = 160;
/** Longer than this nobody waits; then the texts differ too much to be shown side by side. */
const PATIENCE_MS = 3000;

/** The pieces in order, or null where the texts are too long and too different to be compared. */
export function differences(one: string, other: string): Piece[] | null {
  const until = performance.now() + PATIENCE_MS;
  const blocks = diffArrays(lines(one), lines(other), { timeout: PATIENCE_MS });
  if (!blocks) return null;
  const pieces: Piece[] = [];
  for (let i = 0; i < blocks.length; i += 1) {
    const block = blocks[i]!;
    const next = blocks[i + 1];
    const text = block.value.join("");
    if (block.removed && next?.added) {
      const left = Math.max(1, until - performance.now());
      const changes = diffWordsWithSpace(text, next.value.join(""), { timeout: left });
      if (!changes) return null;
      for (const change of changes) add(pieces, kindOf(change), change.value);
      i += 1;
    } else add(pieces, kindOf(block), text);
  }
  return pieces;
}

/** The pieces with long stretches that are the same cut down to what stands beside a difference. */
export function shortened(pieces: readonly Piece[]): (Piece | Skipped)[] {
  return pieces.flatMap<Piece | Skipped>((piece, i) => {
    const before = i > 0 ? AROUND : 0;
    const after = i < pieces.length - 1 ? AROUND : 0;
    if (piece.kind !== "same" || piece.text.length <= before + after + AROUND) return [piece];
    const begin = before ? untilSpace(piece.text, before) : 0;
    const end = after ? piece.text.length - after : piece.text.length;
    return [
      ...(begin ? [{ kind: "same" as const, text: piece.text.slice(0, begin) }] : []),
      { kind: "skipped" as const, characters: end - begin },
      ...(end < piece.text.length ? [{ kind: "same" as const, text: piece.text.slice(end) }] : []),
    ];
  });
}

function lines(text: string): string[] {
  return text.split(/(?<=\n)/);
}

function kindOf({ added, removed }: { added: boolean; removed: boolean }): Piece["kind"] {
  return added ? "new" : removed ? "gone" : "same";
}

function add(pieces: Piece[], kind: Piece["kind"], text: string): void {
  const last = pieces.at(-1);
  if (last?.kind === kind) last.text += text;
  else if (text) pieces.push({ kind, text });
}

function untilSpace(text: string, from: number): number {
  const space = text.indexOf(" ", from);
  return space === -1 || space > from + 40 ? from : space;
}
