/** Findings of Detective mode as the HTTP API tells them, and their kinds in words. */

export interface PathNode {
  node: number;
  what: "poi" | "entity" | "evidence";
  kind: string;
  name: string;
  case: string;
}

export interface PathEdge {
  kind: string;
  label: string;
  explicit: boolean;
}

export interface FindingSource {
  evidence: number;
  case: string;
  title: string;
  page: number;
  start: number;
  end: number;
  chunk: number;
  snippet: string;
  marked: [number, number][];
}

export interface Finding {
  fingerprint: string;
  kind: string;
  explicit: boolean;
  score: number;
  confidence: number;
  cases: string[];
  sentence: string;
  path: PathNode[];
  edges: PathEdge[];
  sources: FindingSource[];
  verdict: number;
}

export interface Findings {
  findings: Finding[];
  cases: Record<string, string>;
  out_of_sight: number;
}

/** Something that a search can be about. */
export interface End {
  node: number;
  what: "poi" | "entity" | "evidence";
  kind: string;
  name: string;
  case: string;
}

export const KINDS: Record<string, string> = {
  related: "Told of two",
  named: "Named in another case",
  shared: "In several cases",
  together: "Named together",
  connected: "Connected",
  joins: "Joins several people",
  linked: "Names the same",
  alike: "Spelt alike",
  near: "Says similar things",
};

const SORTS: Record<string, string> = {
  poi: "person of interest",
  person: "person",
  organisation: "organisation",
  email: "e-mail address",
  phone: "phone number",
  citation: "citation",
};

/** What a node is, in words. */
export function sortOf(node: { what: string; kind: string }): string {
  return node.what === "evidence" ? "evidence" : (SORTS[node.kind] ?? node.kind);
}

/** How sure it is, in a word. */
export function sureness(confidence: number): string {
  return confidence >= 0.9 ? "sure" : confidence >= 0.7 ? "likely" : "uncertain";
}

/** Kinds that occur, with how often, in the order of `KINDS`. */
export function kindsOf(findings: readonly Finding[]): [string, number][] {
  return Object.keys(KINDS)
    .map((kind): [string, number] => [kind, findings.filter((one) => one.kind === kind).length])
    .filter(([, count]) => count > 0);
}
