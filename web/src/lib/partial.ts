/** An answer while it is being written: pieces merged by attempt and position. */

import { characterCount, sliceCharacters } from "./text";

export interface Piece {
  attempt: number;
  /** Where the piece begins in the whole text, in characters. */
  position: number;
  text: string;
}

export interface PartialAnswer {
  attempt: number;
  text: string;
  /** Characters in `text`. */
  length: number;
  /** Pieces that came before the ones they follow. */
  early: readonly Piece[];
}

export const NOTHING_YET: PartialAnswer = { attempt: 0, text: "", length: 0, early: [] };

/**
 * Add a piece. A later attempt starts the text anew, an earlier one is ignored; what is there
 * already changes nothing; a piece beyond the end waits until the gap before it is filled.
 */
export function merge(partial: PartialAnswer, piece: Piece): PartialAnswer {
  if (piece.attempt < partial.attempt) return partial;
  if (piece.attempt > partial.attempt) return merge({ ...NOTHING_YET, attempt: piece.attempt }, piece);
  if (piece.position > partial.length) return { ...partial, early: [...partial.early, piece] };
  const fresh = sliceCharacters(piece.text, partial.length - piece.position);
  if (!fresh) return partial;
  const grown = { ...partial, text: partial.text + fresh, length: partial.length + characterCount(fresh) };
  return grown.early.reduce<PartialAnswer>((whole, early) => merge(whole, early), { ...grown, early: [] });
}

/** Whether pieces are missing before ones that have come. */
export function hasGap(partial: PartialAnswer): boolean {
  return partial.early.length > 0;
}
