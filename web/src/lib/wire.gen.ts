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

/** A passage of an article; `meaning` is its cosine to the question, `words` its BM25. */
export interface ArticleFound {
  node: number;
  meaning: number;
  words: number;
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

/** Characters `start`..`end` of the whole text of `evidence`, on `page`; or of an article, as in a hit. */
export interface Citation {
  node: number;
  evidence: number;
  title: string;
  page: number;
  start: number;
  end: number;
  source: "evidence" | "article";
  url: string;
  fetched_at: number;
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

/** What is searched, and how much was found. */
export interface DetectiveContext {
  work: Record<string, Work>;
  reason: string;
  cases: string[];
  about: number[];
  limit: number;
  user: string;
  asked_at: number;
  nodes: number;
  edges: number;
  paths: number;
  pairs: number;
  uncompared: number;
  ranked: number;
  fingerprints: string[];
  kinds: Record<string, number>;
  presented_at: number;
  verdicts: Record<string, number>;
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

/** Evidence that names the person, with the first place where it does. `start` and `end` are characters of the evidence's text, `page` counts from 1 (0: no pages), `node` is the chunk. `marked` is where the name stands in the snippet. `slips` counts misspelt names among the `mentions`; `slip` tells of the place shown. */
export interface FoundPlace {
  evidence: number;
  title: string;
  mentions: number;
  slips: number;
  node: number;
  page: number;
  start: number;
  end: number;
  snippet: string;
  marked: [number, number];
  slip: boolean;
}

/** A passage in the result. `legs` holds each leg's score where that leg found it. One of an article has `evidence` 0, the article's `url`, and when it was fetched (Unix seconds). */
export interface Hit {
  node: number;
  evidence: number;
  title: string;
  place: Place;
  snippet: string;
  highlights: [number, number][];
  legs: Record<string, number>;
  path: PathStep[];
  source: "evidence" | "article";
  url: string;
  fetched_at: number;
}

/** What every page of the case shows of it; the files are listed elsewhere, by page. Attributes: files_topic: Topic of its uploads. listed: Whether the folder's list is complete. version: Of the count that stands here. paused_s: Seconds that it has been paused for, until the last resumption. outcome: How it ended, in a sentence. */
export interface ImportContext {
  title: string;
  owner: string;
  files_topic: string;
  listed: boolean;
  version: number;
  tally: Tally;
  bytes: number;
  bytes_here: number;
  bytes_done: number;
  pages: number;
  found: number;
  last_arrival: number;
  pace: Pace;
  began: number;
  paused_at: number;
  paused_s: number;
  ended: number;
  outcome: string;
  canceller: string;
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

/** How fast an import goes, as of its last count; None while too little has been seen to tell. Attributes: bytes_s: Bytes received in a second. files_s: Files that came to rest in a second. transfer: Until all is here. work: Until all that is listed has come to rest, transfer included. ahead: Jobs of others that wait in the queues before the files of this import. */
export interface Pace {
  bytes_s: number | null;
  files_s: number | null;
  transfer: TimeLeft | null;
  work: TimeLeft | null;
  ahead: number;
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

/** Who is looked for, and what was found. */
export interface PoiSearchContext {
  work: Record<string, Work>;
  reason: string;
  poi: number;
  name: string;
  aliases: string[];
  asker: string;
  chunks: number;
  seconds: number;
  mentions: number;
  slips: number;
  evidence: number;
  added: number;
  removed: number;
  places: FoundPlace[];
  withheld: number[];
  gone: number[];
  found_at: number;
  seen: string[];
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
  withheld: number[];
  gone: number[];
  understood: Understood | null;
  extended: boolean;
  sources: SourceRead[];
  articles: ArticleFound[];
  apart: Ordered[];
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

/** How a configured source answered; `reason` is why it could not be read, `fetched_at` Unix seconds. */
export interface SourceRead {
  url: string;
  ok: boolean;
  reason: string;
  fetched_at: number;
  articles: number;
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

/** How many of an import's files are in which state; every file is in exactly one. Attributes: waiting: Listed, and to be sent yet. sending: Some of its bytes are here. queued: All its bytes are here; no work on it has begun. working: Work on it has begun and not ended. ready: Evidence. duplicate: The case held the same bytes already. locked: Waits for a password. failed: Ended badly, for the reason in the list of files. cancelled: Ended by somebody. removed: Was evidence, and has been removed again. */
export interface Tally {
  waiting: number;
  sending: number;
  queued: number;
  working: number;
  ready: number;
  duplicate: number;
  locked: number;
  failed: number;
  cancelled: number;
  removed: number;
}

/** Seconds that something will take yet: at least `low`, probably `likely`, at most `high`. */
export interface TimeLeft {
  low: number;
  likely: number;
  high: number;
}

/** A follow-up as a question that stands by itself. `way` tells how it was found; `evidence` is what the names in it were taken from, by id; `note` says why it was not found another way, in a sentence for the user. */
export interface Understood {
  text: string;
  way: "rules" | "model";
  evidence: number[];
  note: string;
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
  unread: string;
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
  detective: DetectiveContext;
  import: ImportContext;
  notification: NotificationContext;
  poi_search: PoiSearchContext;
  query: QueryContext;
  upload: UploadContext;
}
