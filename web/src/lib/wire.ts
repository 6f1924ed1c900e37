/** One websocket to the server: requests with ids, repeats under the same event id, reconnection. */

import { newTrace } from "./trace";
import type { Entry, Passing, Position, Sent, ServerMessage, Subscribed, TopicSnapshot } from "./types";

export type WireStatus = "connecting" | "open" | "reconnecting" | "stopped";

/** Who is told what arrives. */
export interface WireReader {
  /** Where the topic stands, to resume from. */
  position(topic: string): Position | undefined;
  subscribed(reply: Subscribed): void;
  entry(entry: Entry): void;
  snapshot(snapshot: TopicSnapshot): void;
  passing(message: Passing): void;
  closed(topic: string, reason: string): void;
  status(status: WireStatus): void;
  /** The server ended the connection for good: the login may be over. */
  refused(): void;
}

/** The part of `WebSocket` that is used. */
export interface Socket {
  onopen: (() => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  readonly readyState: number;
  send(text: string): void;
  close(code?: number): void;
}

export class WireError extends Error {
  readonly code: string;
  readonly allowed: string[];

  constructor(code: string, message: string, allowed: string[] = []) {
    super(message);
    this.code = code;
    this.allowed = allowed;
  }
}

interface Request {
  frame: Record<string, unknown>;
  resolve: (result: Record<string, unknown>) => void;
  reject: (error: WireError) => void;
  tries: number;
  givesUpAt: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export const PROTOCOL = "casewire.v1.json";
/** `WebSocket.OPEN` */
const OPEN = 1;
const REPLY_LIMIT_MS = 10_000;
const GIVE_UP_MS = 90_000;
const TEMPORARY_TRIES = 5;
const PING_EVERY_MS = 25_000;
const LONGEST_PAUSE_MS = 15_000;
/** Close codes from here on (below 5000) mean: do not come back. */
const STOP_CODE = 3500;

/** A random id; `crypto.randomUUID` is missing where the page is served over plain HTTP. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function openSocket(): Socket {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(`${scheme}//${location.host}/ws`, PROTOCOL) as Socket;
}

export class Wire {
  readonly #reader: WireReader;
  readonly #open: () => Socket;
  readonly #topics = new Map<string, number>();
  readonly #requests = new Map<number, Request>();
  #socket: Socket | undefined;
  #isOpen = false;
  #wanted = false;
  #everOpen = false;
  #nextId = 1;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #ping: ReturnType<typeof setInterval> | undefined;
  #heard = false;

  constructor(reader: WireReader, open: () => Socket = openSocket) {
    this.#reader = reader;
    this.#open = open;
  }

  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#failures = 0;
    this.#connect();
  }

  /** Leave for good: nothing that is under way will be answered. */
  stop(): void {
    this.#wanted = false;
    this.#detach(1000);
    this.#topics.clear();
    for (const request of this.#requests.values()) {
      clearTimeout(request.timer);
      request.reject(new WireError("wire.stopped", "The connection was ended."));
    }
    this.#requests.clear();
  }

  /** Try now instead of at the end of the pause. */
  hurry(): void {
    if (this.#wanted && !this.#socket) this.#connect();
  }

  /** Hold a topic; each `subscribe` needs its `unsubscribe`. */
  subscribe(topic: string): void {
    const holders = this.#topics.get(topic) ?? 0;
    this.#topics.set(topic, holders + 1);
    if (holders === 0 && this.#isOpen) void this.#join(topic);
  }

  /** Returns whether nobody holds the topic any more. */
  unsubscribe(topic: string): boolean {
    const holders = (this.#topics.get(topic) ?? 1) - 1;
    if (holders > 0) {
      this.#topics.set(topic, holders);
      return false;
    }
    this.#topics.delete(topic);
    if (this.#isOpen) this.#request({ type: "unsubscribe", topic }).catch(() => undefined);
    return true;
  }

  /** Ask for what is missing since the topic's position. */
  recover(topic: string): void {
    if (this.#isOpen && this.#topics.has(topic)) void this.#join(topic);
  }

  async spawn(kind: string, topic: string, data: object): Promise<Sent> {
    const result = await this.#request({
      type: "spawn", kind, topic, data, event_id: newId(), trace: newTrace(),
    });
    return result as unknown as Sent;
  }

  async send(machine: string, event: string, data: object = {}): Promise<Sent> {
    const result = await this.#request({
      type: "send", machine, event, data, event_id: newId(), trace: newTrace(),
    });
    return result as unknown as Sent;
  }

  async #join(topic: string): Promise<void> {
    const since = this.#reader.position(topic);
    const frame = since ? { type: "subscribe", topic, since } : { type: "subscribe", topic };
    try {
      const reply = await this.#request(frame);
      if (this.#topics.has(topic)) this.#reader.subscribed(reply as unknown as Subscribed);
    } catch (error) {
      if (error instanceof WireError && !error.code.startsWith("wire.")) {
        this.#reader.closed(topic, error.message);
      }
    }
  }

  #request(fields: Record<string, unknown>): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const givesUpAt = Date.now() + GIVE_UP_MS;
      const request = { frame: { ...fields, id }, resolve, reject, tries: 0, givesUpAt, timer: undefined };
      this.#requests.set(id, request);
      this.#transmit(id, request);
    });
  }

  /** Send, and send again until there is a reply; the event id makes a repeat harmless. */
  #transmit(id: number, request: Request): void {
    clearTimeout(request.timer);
    if (Date.now() > request.givesUpAt) {
      this.#requests.delete(id);
      request.reject(new WireError("wire.timeout", "The server does not answer. Please try again."));
      return;
    }
    if (this.#isOpen && this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(request.frame));
    request.timer = setTimeout(() => this.#transmit(id, request), REPLY_LIMIT_MS);
  }

  #connect(): void {
    clearTimeout(this.#retry);
    this.#reader.status(this.#everOpen ? "reconnecting" : "connecting");
    const socket = this.#open();
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onclose = ({ code }) => this.#lost(code);
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(String(data)) as ServerMessage);
  }

  #opened(): void {
    this.#isOpen = true;
    this.#everOpen = true;
    this.#failures = 0;
    this.#heard = true;
    this.#reader.status("open");
    this.#dropTopicRequests();
    for (const topic of this.#topics.keys()) void this.#join(topic);
    for (const [id, request] of this.#requests) {
      if (request.frame.type === "spawn" || request.frame.type === "send") this.#transmit(id, request);
    }
    this.#ping = setInterval(() => this.#checkPulse(), PING_EVERY_MS);
  }

  /** Subscriptions of the old socket mean nothing on the new one. */
  #dropTopicRequests(): void {
    for (const [id, request] of this.#requests) {
      if (request.frame.type === "spawn" || request.frame.type === "send") continue;
      clearTimeout(request.timer);
      this.#requests.delete(id);
      request.reject(new WireError("wire.reconnected", "The connection was replaced."));
    }
  }

  #checkPulse(): void {
    if (!this.#heard) {
      this.#detach(3001);
      this.#lost(1006);
      return;
    }
    this.#heard = false;
    this.#request({ type: "ping" }).catch(() => undefined);
  }

  #detach(code: number): void {
    clearTimeout(this.#retry);
    clearInterval(this.#ping);
    const socket = this.#socket;
    this.#socket = undefined;
    this.#isOpen = false;
    if (!socket) return;
    socket.onopen = socket.onclose = socket.onmessage = null;
    socket.close(code);
  }

  #lost(code: number): void {
    clearInterval(this.#ping);
    this.#socket = undefined;
    this.#isOpen = false;
    if (!this.#wanted) return;
    if (code >= STOP_CODE && code < 5000) {
      this.#wanted = false;
      this.#reader.status("stopped");
      this.#reader.refused();
      return;
    }
    this.#reader.status("reconnecting");
    const pause = Math.min(LONGEST_PAUSE_MS, 300 * 2 ** this.#failures);
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#connect(), pause * (0.5 + Math.random() / 2));
  }

  #receive(message: ServerMessage): void {
    this.#heard = true;
    switch (message.type) {
      case "ok":
        this.#settle(message.id)?.resolve({ ...message });
        break;
      case "error":
        this.#failed(message);
        break;
      case "entry":
        this.#reader.entry(message);
        break;
      case "snapshot":
        this.#reader.snapshot(message);
        break;
      case "passing":
        this.#reader.passing(message);
        break;
      case "closed":
        this.#reader.closed(message.topic, "You no longer have access to this.");
        break;
    }
  }

  #settle(id: number | string): Request | undefined {
    if (typeof id !== "number") return undefined; // this page's ids are numbers
    const request = this.#requests.get(id);
    clearTimeout(request?.timer);
    this.#requests.delete(id);
    return request;
  }

  #failed(message: Extract<ServerMessage, { type: "error" }>): void {
    const id = message.id;
    const request = typeof id === "number" ? this.#requests.get(id) : undefined;
    if (!request || typeof id !== "number") return;
    if (message.temporary && request.tries < TEMPORARY_TRIES) {
      const pause = 250 * 2 ** request.tries * (0.5 + Math.random());
      request.tries += 1;
      clearTimeout(request.timer);
      request.timer = setTimeout(() => this.#transmit(id, request), pause);
      return;
    }
    this.#settle(id);
    request.reject(new WireError(message.code, message.message, message.allowed));
  }
}
