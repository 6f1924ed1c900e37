/** What travels: the wire's messages, the HTTP API's values, and the contexts of the charts. */

import type * as wire from "./wire.gen";

export type {
  Answer,
  CaseContext,
  Citation,
  DetectiveContext,
  Entry,
  ImportContext,
  NotificationContext,
  Pace,
  Passing,
  PathStep,
  Place,
  PoiSearchContext,
  ServerMessage,
  Tally,
  TimeLeft,
  UploadContext,
  Work,
} from "./wire.gen";

export type Position = wire.Since;

/** One running instance of a chart, as a subscriber sees it. */
export interface Machine<C = Record<string, unknown>> extends Omit<wire.MachineState, "context"> {
  context: C;
}

export type TopicSnapshot = Omit<wire.Snapshot, "type">;

export type Subscribed = Omit<wire.Recovered, "type" | "id"> | Omit<wire.Begun, "type" | "id">;

export type Sent = Omit<wire.Outcome, "type" | "id">;

export type WorkStatus = wire.Work["status"];

export interface WorkContext {
  work: Record<string, wire.Work>;
  reason: string;
}

export type Leg = "meaning" | "words" | "links";

/** `[x0, y0, x1, y1]` in points, from the page's top left. */
export type Box = [number, number, number, number];

export interface Hit extends Omit<wire.Hit, "legs"> {
  legs: Partial<Record<Leg, number>>;
}

export interface QueryContext extends Omit<wire.QueryContext, "legs" | "hits" | "understood" | "sources"> {
  /** What a follow-up means; questions of an earlier release have none, and no sources. */
  understood?: wire.QueryContext["understood"];
  sources?: wire.QueryContext["sources"];
  legs: Partial<Record<Leg, wire.Found[]>>;
  hits: Record<string, Hit>;
}

export interface User {
  id: string;
  email: string;
  name: string;
  is_admin: boolean;
}

export type Role = "viewer" | "editor" | "owner";

export interface CaseSummary {
  id: string;
  title: string;
  description: string;
  role: Role;
  state: string;
  evidence: number;
  created_at: string | number;
  machine: string;
}

export interface Poi {
  id: number;
  name: string;
  aliases: string[];
  note: string;
  /** Id of the machine that looks for the person, "" for none. */
  machine: string;
}

export interface CaseDetails extends CaseSummary {
  members: { user: { id: string; name: string; email: string }; role: Role }[];
  pois: Poi[];
  counts: { evidence: number; chunks: number; entities: number };
  /** Sources outside the case that questions may be put to. */
  outside: string[];
}

export interface EvidenceSummary {
  /** Since when it waits to be deleted; null where it does not. */
  hidden_at: string | null;
  id: number;
  case?: string;
  filename: string;
  title: string;
  media_type: string;
  bytes: number;
  sha256: string;
  upload: string;
  /** Evidence that this was found in, 0 for none. */
  parent: number;
  tags: string[];
  /** How sure the run was of each tag that it found, 0 to 1. */
  tag_confidence: Record<string, number>;
  summary: { text: string; start: number; end: number; page: number }[];
  /** Version of each part that a person wrote. */
  edited: Partial<Record<EditedPart, number>>;
  /** How many near copies there are. */
  near: number;
  meta: Record<string, unknown>;
  pages: number;
  created_at: string | number;
}

export interface Evidence extends EvidenceSummary {
  text: string;
  page_spans: [number, number][];
}

export type EditedPart = "title" | "summary" | "tags";

/** One version of a part of evidence; version 0 is what the newest run found. */
export interface Edit {
  part: EditedPart;
  version: number;
  value: string | string[] | EvidenceSummary["summary"];
  by: { id: string; name: string };
  /** The version whose value was taken again. */
  restored: number | null;
  at: string;
}

/** Other evidence that is nearly the same; `score` and `contained` go from 0 to 1. */
export interface NearCopy {
  evidence: number;
  title: string;
  filename: string;
  media_type: string;
  kind: "text" | "picture";
  score: number;
  contained: number;
  exact: boolean;
}

export interface NearPair {
  a: number;
  b: number;
  kind: NearCopy["kind"];
  score: number;
}

export interface Chunk {
  id: number;
  ordinal: number;
  page: number;
  start: number;
  end: number;
  boxes: Box[];
}

export type EntityStatus = "suggested" | "accepted" | "rejected";

export interface Entity {
  id: number;
  kind: string;
  name: string;
  status: EntityStatus;
  mentions: number;
  poi: number | null;
}

export interface ChartFacts {
  kind: string;
  version: number;
  hash: string;
  dot: string;
}

/** Whether attention is kept, and the cases in which there is any. */
export interface Learnt {
  on: boolean;
  half_life_s: number;
  cases: { case: string; title: string; items: number }[];
}

/** One thing that was learnt of the user; weights are in units of a vote. */
export interface LearntItem {
  what: "vote" | "read" | "opened" | "ignored" | "accepted" | "dismissed";
  node: number;
  kind: "passage" | "evidence" | "name";
  evidence: number;
  title: string;
  page: number;
  start: number;
  end: number;
  said: string;
  at: number;
  full: number;
  weight: number;
  query: string;
}

export interface LearntPage {
  items: LearntItem[];
  total: number;
}

export type Scope = "read" | "write" | "admin";

/** An API token; `cases` holds the only cases that it reaches, null for all of its person's. */
export interface Token {
  id: string;
  name: string;
  scopes: Scope[];
  cases: string[] | null;
  created_at: string;
  expires_at: string | null;
  used_at: string | null;
}

/** One file of an import, as its list tells it. */
export interface ImportFile {
  file: number;
  path: string;
  bytes: number;
  found: boolean;
  state: string;
  machine: string;
  evidence: number;
  reason: string;
  pages: number;
  retryable: boolean;
}
