/** Hits whose passages stand in near copies of the same evidence, brought together under the best one. */

import type { Hit, NearPair } from "./types";

/** Share of the words of the shorter snippet from which two passages of near copies are the same one. */
const SAME = 0.6;

export interface Group<T> {
  best: T;
  copies: T[];
}

/** The hits in their order; each stands under the first whose evidence is a near copy and says the same. */
export function grouped<T extends { hit: Hit }>(hits: readonly T[], pairs: readonly NearPair[]): Group<T>[] {
  const near = new Set(pairs.flatMap(({ a, b }) => [`${a},${b}`, `${b},${a}`]));
  const groups: (Group<T> & { words: Set<string> })[] = [];
  for (const one of hits) {
    const words = wordsOf(one.hit.snippet);
    const group = groups.find(
      ({ best, words: theirs }) => near.has(`${best.hit.evidence},${one.hit.evidence}`) && overlap(theirs, words) >= SAME,
    );
    if (group) group.copies.push(one);
    else groups.push({ best: one, copies: [], words });
  }
  return groups.map(({ best, copies }) => ({ best, copies }));
}

/** The ids of different evidence among the hits, rising; empty where there is nothing to compare. */
export function evidenceOf(hits: readonly { hit: Hit }[]): number[] {
  const ids = [...new Set(hits.map(({ hit }) => hit.evidence))].sort((a, b) => a - b);
  return ids.length > 1 ? ids : [];
}

function wordsOf(text: string): Set<string> {
  return new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu));
}

function overlap(one: Set<string>, other: Set<string>): number {
  const smaller = Math.min(one.size, other.size);
  return smaller ? [...one].filter((word) => other.has(word)).length / smaller : 0;
}
