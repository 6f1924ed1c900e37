/** What travels: the wire's messages, the HTTP API's values, and the contexts of the charts. */

export interface Position {
  epoch: string;
  offset: number;
}

/** One running instance of a chart, as a subscriber sees it. */
export interface Machine<C = Record<string, unknown>> {
  machine: string;
  kind: string;
  topic: string;
  revision: number;
  configuration: string[];
  context: C;
  /** Events that this session may send now. */
  allowed: string[];
  terminated: boolean;
  /** Unix seconds. */
  updated_at: number;
}

export interface Entry extends Position {
  type: "entry";
  topic: string;
  machine: string;
  kind: string;
  revision: number;
  event: string;
  from: string[];
  to: string[];
  context: Record<string, unknown>;
  removed: string[];
  allowed: string[];
  gone: boolean;
  terminated?: boolean;
  at: number;
  actor: string;
  /** W3C traceparent of the commit. */
  trace?: string;
}

export interface TopicSnapshot extends Position {
  topic: string;
  machines: Machine[];
  more: boolean;
}

export type Subscribed =
  | (Position & { topic: string; recovered: true; entries: Entry[] })
  | (TopicSnapshot & { recovered: false });

export interface Passing {
  type: "passing";
  topic: string;
  machine: string;
  what: string;
  data: Record<string, unknown>;
}

export interface Sent {
  machine: string;
  revision: number;
  to: string[];
  allowed: string[];
  repeated: boolean;
}

export type ServerMessage =
  | ({ type: "ok"; id: number } & Record<string, unknown>)
  | { type: "error"; id: number | null; code: string; message: string; temporary: boolean; allowed?: string[] }
  | Entry
  | ({ type: "snapshot" } & TopicSnapshot)
  | Passing
  | { type: "closed"; topic: string; code: string };

export type WorkStatus = "queued" | "running" | "waiting" | "done" | "broken";

/** How one stage of a machine stands; times are Unix seconds. */
export interface Work {
  status: WorkStatus;
  queue: string;
  effect: string;
  attempt: number;
  since: number;
  ended: number | null;
  done: number;
  total: number;
  unit: string;
  reason: string;
}

export interface WorkContext {
  work: Record<string, Work>;
  reason: string;
}

export interface UploadContext extends WorkContext {
  filename: string;
  bytes: number;
  received: number;
  sha256: string;
  parent: number;
  evidence: number;
  media_type: string;
  title: string;
  pages: number;
  characters: number;
  chunks: number;
  children: number;
  entities: number;
  tags: string[];
  retryable: boolean;
}

export type Leg = "meaning" | "words" | "links";

export interface Place {
  page: number;
  start: number;
  end: number;
  boxes: Box[];
}

/** `[x0, y0, x1, y1]` in points, from the page's top left. */
export type Box = [number, number, number, number];

export interface PathStep {
  source: string;
  kind: string;
  target: string;
}

export interface Hit {
  node: number;
  evidence: number;
  title: string;
  place: Place;
  snippet: string;
  highlights: [number, number][];
  legs: Partial<Record<Leg, number>>;
  path: PathStep[];
}

export interface Citation {
  node: number;
  evidence: number;
  title: string;
  page: number;
  start: number;
  end: number;
}

export interface Answer {
  mode: "extractive" | "generated";
  supported: boolean;
  text: string;
  claims: { text: string; citations: Citation[] }[];
  model: string;
  dropped: string[];
}

export interface QueryContext extends WorkContext {
  question: string;
  conversation: string;
  asker: string;
  asked_at: number;
  legs: Partial<Record<Leg, { node: number; score: number }[]>>;
  hits: Record<string, Hit>;
  order: { node: number; score: number }[];
  as_of: number;
  votes: Record<string, number>;
  mine: Record<string, Record<string, number>>;
  nodes: number;
  edges: number;
  answer: Answer | null;
}

export interface CaseContext {
  title: string;
  description: string;
  owner: string;
  created_at: number;
  versions: Record<string, number>;
}

export interface NotificationContext extends WorkContext {
  title: string;
  body: string;
  level: "info" | "warning";
  about: string;
  evidence: number;
  created_at: number;
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
}

export interface CaseDetails extends CaseSummary {
  members: { user: { id: string; name: string; email: string }; role: Role }[];
  pois: Poi[];
  counts: { evidence: number; chunks: number; entities: number };
}

export interface EvidenceSummary {
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
  summary: { text: string; start: number; end: number; page: number }[];
  meta: Record<string, unknown>;
  pages: number;
  created_at: string | number;
}

export interface Evidence extends EvidenceSummary {
  text: string;
  page_spans: [number, number][];
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
