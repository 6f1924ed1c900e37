/** Names of a case that may be the same: what the server tells, and what a key means. */

export type NameVerdict = "same" | "unsure" | "different";

export interface NameQuote {
  evidence: number;
  title: string;
  page: number;
  start: number;
  end: number;
  before: string;
  name: string;
  after: string;
}

export interface NameSide {
  node: number;
  kind: string;
  name: string;
  aliases: string[];
  mentions: number;
  quotes: NameQuote[];
}

export interface NamePair {
  left: NameSide;
  right: NameSide;
  score: number;
  reasons: { kind: string; strength: number; words: string }[];
}

export interface Names {
  waiting: number;
  pairs: NamePair[];
  verdicts: { id: number; left: string; right: string; verdict: NameVerdict; by: string; at: string }[];
}

/** The two of a pair as a verdict names them; a person of interest is always the right one. */
export function idsOf(pair: NamePair): { entity: number; poi?: number; other?: number } {
  const { left, right } = pair;
  return right.kind === "poi" ? { entity: left.node, poi: right.node } : { entity: left.node, other: right.node };
}

const KEYS: Record<string, NameVerdict | "undo"> = { s: "same", u: "unsure", d: "different", z: "undo" };

/** What a key asks for; nothing while somebody types or holds another key down. */
export function choiceOf(event: KeyboardEvent): NameVerdict | "undo" | undefined {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return undefined;
  const target = event.target as { closest?: (selector: string) => unknown } | null;
  if (target?.closest?.("input, textarea, select, [contenteditable], dialog")) return undefined;
  return KEYS[event.key.toLowerCase()];
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
