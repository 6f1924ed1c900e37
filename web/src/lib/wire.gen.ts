/**
 * The messages of the websocket and the contexts of the charts, written by `python -m server.typescript`
 * from the server's models. Do not edit.
 */

/** What the evidence says; `supported` is false where it does not answer the question. */
export interface Answer {
  mode: "extractive" | "generated";
  supported: boolean;
  text: string;
  claims: Claim[];
  model: string;
  dropped: string[];
}

/** A topic is followed from this snapshot on. */
export interface Begun {
  type: "ok";
  id: number | string;
  topic: string;
  epoch: string;
  offset: number;
  recovered: false;
  machines: MachineState[];
  more: boolean;
}

/** What every page of the case shows. */
export interface CaseContext {
  work: Record<string, Work>;
  reason: string;
  title: string;
  description: string;
  owner: string;
  created_at: number;
  versions: Record<string, number>;
  rested: string;
  grace_until: number;
  removed_by: string;
  why: string;
  left: number;
}

/** Characters `start`..`end` of the whole text of `evidence`, on `page`. */
export interface Citation {
  node: number;
  evidence: number;
  title: string;
  page: number;
  start: number;
  end: number;
}

/** A sentence of the answer and what it rests on. */
export interface Claim {
  text: string;
  citations: Citation[];
}

/** A right has ended, and with it the topic on this connection. */
export interface Closed {
  type: "closed";
  topic: string;
  code: "access.ended" | "auth.required";
}

/** A machine was spawned, has moved, or has left (`gone`); `context` and `removed` tell what changed. */
export interface Entry {
  type: "entry";
  topic: string;
  /** Empty, and the offset 0, where an entry came out of the journal and its position is not known. */
  epoch: string;
  offset: number;
  machine: string;
  kind: string;
  revision: number;
  event: string;
  from: string[];
  to: string[];
  context: Record<string, unknown>;
  removed: string[];
  allowed: string[];
  terminated: boolean;
  gone: boolean;
  /** Unix seconds. */
  at: number;
  actor: string;
  /** W3C traceparent of the request that led to it. */
  trace?: string;
}

/** A node that a leg found, with the leg's own score (higher is better). */
export interface Found {
  node: number;
  score: number;
}

/** A chunk in the result. `legs` holds each leg's score where that leg found it. */
export interface Hit {
  node: number;
  evidence: number;
  title: string;
  place: Place;
  snippet: string;
  highlights: [number, number][];
  legs: Record<string, number>;
  path: PathStep[];
}

/** A topic is not followed any more. */
export interface Left {
  type: "ok";
  id: number | string;
  topic: string;
}

/** One machine as the reader's role sees it. */
export interface MachineState {
  machine: string;
  kind: string;
  topic: string;
  revision: number;
  /** Active states. */
  configuration: string[];
  /** Fits `context.<kind>`. */
  context: Record<string, unknown>;
  /** Events that this role may send now. */
  allowed: string[];
  terminated: boolean;
  /** Unix seconds. */
  updated_at: number;
}

/** The message. */
export interface NotificationContext {
  work: Record<string, Work>;
  reason: string;
  user: string;
  title: string;
  body: string;
  level: "info" | "warning";
  about: string;
  evidence: number;
  created_at: number;
  pages: number;
}

/** A node's place in the order on screen. */
export interface Ordered {
  node: number;
  score: number;
}

/** What a spawn or a send did, or had done the first time (`repeated`). */
export interface Outcome {
  type: "ok";
  id: number | string;
  machine: string;
  revision: number;
  to: string[];
  allowed: string[];
  repeated: boolean;
}

/** Progress, a piece of an answer, a toast: shown now or never, without an offset. */
export interface Passing {
  type: "passing";
  topic: string;
  machine: string;
  what: string;
  data: Record<string, unknown>;
}

/** One edge of the path that explains a hit: from a seed of the question to the chunk. */
export interface PathStep {
  source: string;
  kind: string;
  target: string;
}

/** Answered by `ok`. */
export interface Ping {
  trace?: string;
  id: number | string;
  type: "ping";
}

/** Where a chunk stands in its source. `page` counts from 1, 0 where the source has none; `start` and `end` are character offsets into the evidence's whole text; `boxes` are `[x0, y0, x1, y1]` in points on that page. */
export interface Place {
  page: number;
  start: number;
  end: number;
  boxes: [number, number, number, number][];
}

/** The answer to a ping. */
export interface Pong {
  type: "ok";
  id: number | string;
}

/** The question and all that is known in answer to it. */
export interface QueryContext {
  work: Record<string, Work>;
  reason: string;
  question: string;
  conversation: string;
  case: string;
  asker: string;
  asked_at: number;
  legs: Record<string, Found[]>;
  hits: Record<string, Hit>;
  order: Ordered[];
  as_of: number;
  votes: Record<string, number>;
  mine: Record<string, Record<string, number>>;
  nodes: number;
  edges: number;
  answer: Answer | null;
}

/** A topic is followed: these entries were missed, in order. */
export interface Recovered {
  type: "ok";
  id: number | string;
  topic: string;
  epoch: string;
  offset: number;
  recovered: true;
  entries: Entry[];
}

/** The request of that `id` was refused; `id` is null where it could not be read. */
export interface Refusal {
  type: "error";
  id: number | string | null;
  code: string;
  message: string;
  /** Whether the same request may succeed later. */
  temporary: boolean;
  /** Events that the machine's state does allow, where that says something. */
  allowed?: string[];
}

/** Send an event to a machine, at most once for an `event_id`; `if_revision` must still hold. */
export interface Send {
  trace?: string;
  id: number | string;
  type: "send";
  machine: string;
  event: string;
  data?: Record<string, unknown>;
  event_id?: string | null;
  if_revision?: number | null;
}

/** Where a subscriber had come to. */
export interface Since {
  epoch: string;
  offset: number;
}

/** All machines of a topic, in place of entries that cannot be told one by one. */
export interface Snapshot {
  type: "snapshot";
  topic: string;
  epoch: string;
  offset: number;
  machines: MachineState[];
  /** Older finished machines are not among them. */
  more: boolean;
}

/** Start a machine; a repeat with the same `event_id` starts none and gets the first outcome. */
export interface Spawn {
  trace?: string;
  id: number | string;
  type: "spawn";
  kind: string;
  topic: string;
  data?: Record<string, unknown>;
  event_id?: string | null;
}

/** Follow a topic. With `since`, the reply holds what was missed if the log still has it. */
export interface Subscribe {
  trace?: string;
  id: number | string;
  type: "subscribe";
  topic: string;
  since?: Since | null;
}

/** Follow a topic no more. */
export interface Unsubscribe {
  trace?: string;
  id: number | string;
  type: "unsubscribe";
  topic: string;
}

/** What is known of the file so far. */
export interface UploadContext {
  work: Record<string, Work>;
  reason: string;
  filename: string;
  bytes: number;
  received: number;
  sha256: string;
  parent: number;
  owner: string;
  evidence: number;
  media_type: string;
  title: string;
  pages: number;
  characters: number;
  chunks: number;
  children: number;
  entities: number;
  tags: string[];
  secret: string;
  retryable: boolean;
  parts: string;
  ocr_pages: number;
  notice: string;
  rested: string;
  grace_until: number;
  removed_by: string;
  why: string;
}

/** How one stage stands. Times are Unix seconds, `attempt` counts from 1. */
export interface Work {
  status: "queued" | "running" | "waiting" | "done" | "broken";
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

export type ClientMessage = Subscribe | Unsubscribe | Spawn | Send | Ping;

export type ServerMessage = Recovered | Begun | Left | Outcome | Pong | Refusal | Entry | Snapshot | Passing | Closed;

/** Chart → its context. */
export interface Contexts {
  case: CaseContext;
  notification: NotificationContext;
  query: QueryContext;
  upload: UploadContext;
}
