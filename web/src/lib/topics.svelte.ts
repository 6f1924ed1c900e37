/**
 * What the server has told about each topic: snapshots, log entries and passing messages applied
 * in order. Components read from here and never keep a machine's state of their own.
 */

import { SvelteMap } from "svelte/reactivity";
import { clock } from "./clock.svelte";
import { hasGap, merge, NOTHING_YET, type PartialAnswer, type Piece } from "./partial";
import type { Entry, Machine, Pace, Passing, Position, Subscribed, TopicSnapshot } from "./types";

/** `gap`: entries before this one are missing, so the topic must be recovered. */
export type Applied = "applied" | "old" | "gap" | "waiting";

export interface StageProgress {
  done: number;
  total: number;
  unit: string;
}

export class Topic {
  readonly name: string;
  readonly machines = new SvelteMap<string, Machine>();
  /** False until the first snapshot has arrived. */
  ready = $state(false);
  /** Older machines exist that the snapshot left out. */
  more = $state(false);
  /** Why the topic cannot be read (any more), in the server's words. */
  closed = $state("");
  #position: Position | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get position(): Position | undefined {
    return this.#position;
  }

  applySnapshot(snapshot: TopicSnapshot): void {
    const kept = new Set(snapshot.machines.map((machine) => machine.machine));
    for (const id of [...this.machines.keys()]) if (!kept.has(id)) this.machines.delete(id);
    for (const machine of snapshot.machines) this.machines.set(machine.machine, machine);
    this.#position = { epoch: snapshot.epoch, offset: snapshot.offset };
    this.more = snapshot.more;
    this.closed = "";
    this.ready = true;
  }

  applyEntry(entry: Entry): Applied {
    const at = this.#position;
    if (!at) return "waiting";
    if (entry.epoch !== at.epoch) return "gap";
    if (entry.offset <= at.offset) return "old";
    if (entry.offset > at.offset + 1) return "gap";
    this.#position = { epoch: at.epoch, offset: entry.offset };
    if (entry.gone) this.machines.delete(entry.machine);
    else this.machines.set(entry.machine, changed(this.machines.get(entry.machine), entry));
    return "applied";
  }

  /** Where the topic stands after a recovery whose last entries were none of ours to see. */
  advance(position: Position): void {
    if (this.#position && position.offset > this.#position.offset) this.#position = position;
  }

  /** Forget the position, so that the next subscription asks for a whole snapshot. */
  forgetPosition(): void {
    this.#position = undefined;
  }
}

function changed(before: Machine | undefined, entry: Entry): Machine {
  const context: Record<string, unknown> = { ...before?.context, ...entry.context };
  for (const key of entry.removed) delete context[key];
  return {
    machine: entry.machine,
    kind: entry.kind,
    topic: entry.topic,
    revision: entry.revision,
    configuration: entry.to,
    context,
    allowed: entry.allowed,
    terminated: entry.terminated ?? before?.terminated ?? false,
    updated_at: entry.at,
  };
}

/** What the store asks of the connection. */
export interface Recovery {
  /** Subscribe again, from the topic's position. */
  recover(topic: string): void;
  /** Fetch the answer's text so far; asked again while pieces are missing. */
  fetchPartial(machine: string): void;
}

const JOURNAL_LENGTH = 200;

export class Topics {
  readonly #topics = new SvelteMap<string, Topic>();
  readonly #progress = new SvelteMap<string, Record<string, StageProgress>>();
  readonly #positions = new SvelteMap<string, Record<string, number>>();
  readonly #paces = new SvelteMap<string, Pace>();
  readonly #partials = new SvelteMap<string, PartialAnswer>();
  readonly #watchers = new Set<(entry: Entry) => void>();
  /** The newest entries seen, newest first. */
  journal = $state.raw<Entry[]>([]);
  recovery: Recovery | undefined;

  topic(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /** Make room for a topic about to be subscribed to. */
  open(name: string): Topic {
    const topic = this.#topics.get(name) ?? new Topic(name);
    this.#topics.set(name, topic);
    return topic;
  }

  drop(name: string): void {
    this.#topics.delete(name);
  }

  clear(): void {
    this.#topics.clear();
    this.#progress.clear();
    this.#positions.clear();
    this.#paces.clear();
    this.#partials.clear();
    this.journal = [];
  }

  machine<C = Record<string, unknown>>(id: string): Machine<C> | undefined {
    for (const topic of this.#topics.values()) {
      const machine = topic.machines.get(id);
      if (machine) return machine as Machine<C>;
    }
    return undefined;
  }

  ofKind<C = Record<string, unknown>>(topic: string, kind: string): Machine<C>[] {
    const machines = this.#topics.get(topic)?.machines.values() ?? [];
    return [...machines].filter((machine) => machine.kind === kind) as Machine<C>[];
  }

  progress(machine: string, stage: string): StageProgress | undefined {
    return this.#progress.get(machine)?.[stage];
  }

  /** How many jobs the queue does before this effect, as last told; undefined while nothing was told. */
  ahead(machine: string, effect: string): number | undefined {
    return this.#positions.get(machine)?.[effect];
  }

  /** How fast an import goes, as last told; undefined while nothing was told. */
  pace(machine: string): Pace | undefined {
    return this.#paces.get(machine);
  }

  partial(machine: string): PartialAnswer {
    return this.#partials.get(machine) ?? NOTHING_YET;
  }

  /** Be called with every entry that is applied; returns how to stop. */
  watch(watcher: (entry: Entry) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  subscribed(reply: Subscribed): void {
    const topic = this.#topics.get(reply.topic);
    if (!topic) return;
    if (!reply.recovered) {
      topic.applySnapshot(reply);
      return;
    }
    topic.closed = "";
    for (const entry of reply.entries) {
      if (this.#apply(topic, entry) === "gap") {
        topic.forgetPosition();
        this.recovery?.recover(topic.name);
        return;
      }
    }
    topic.advance(reply);
  }

  snapshot(snapshot: TopicSnapshot): void {
    this.#topics.get(snapshot.topic)?.applySnapshot(snapshot);
  }

  entry(entry: Entry): Applied {
    const topic = this.#topics.get(entry.topic);
    if (!topic) return "waiting";
    const outcome = this.#apply(topic, entry);
    if (outcome === "gap") this.recovery?.recover(entry.topic);
    return outcome;
  }

  passing(message: Passing): void {
    if (message.what === "progress") this.#noteProgress(message);
    if (message.what === "position") this.#positions.set(message.machine, message.data as Record<string, number>);
    if (message.what === "pace") this.#paces.set(message.machine, message.data as unknown as Pace);
    if (message.what !== "token") return;
    this.addPiece(message.machine, message.data as unknown as Piece);
    if (hasGap(this.partial(message.machine))) this.recovery?.fetchPartial(message.machine);
  }

  addPiece(machine: string, piece: Piece): void {
    this.#partials.set(machine, merge(this.partial(machine), piece));
  }

  close(topic: string, reason: string): void {
    const closed = this.#topics.get(topic);
    if (!closed) return;
    closed.closed = reason;
    closed.machines.clear();
    closed.ready = false;
    closed.forgetPosition();
  }

  #apply(topic: Topic, entry: Entry): Applied {
    const outcome = topic.applyEntry(entry);
    if (outcome !== "applied") return outcome;
    clock.heardAt(entry.at);
    this.#forgetStaleProgress(entry);
    if (entry.gone) this.#positions.delete(entry.machine);
    this.journal = [entry, ...this.journal].slice(0, JOURNAL_LENGTH);
    for (const watcher of this.#watchers) watcher(entry);
    return outcome;
  }

  #noteProgress({ machine, data }: Passing): void {
    const { stage, done, total, unit } = data as unknown as StageProgress & { stage?: string };
    const key = stage ?? this.#runningStage(machine);
    if (!key) return;
    this.#progress.set(machine, { ...this.#progress.get(machine), [key]: { done, total, unit } });
  }

  #runningStage(machine: string): string | undefined {
    const work = this.machine<{ work?: Record<string, { status: string }> }>(machine)?.context.work ?? {};
    return Object.keys(work).find((stage) => work[stage]?.status === "running");
  }

  /** Progress belongs to a stage, which is a state: it ends when the state is left. */
  #forgetStaleProgress(entry: Entry): void {
    const known = this.#progress.get(entry.machine);
    if (!known) return;
    const current = Object.entries(known).filter(([stage]) => !entry.gone && entry.to.includes(stage));
    if (current.length === 0) this.#progress.delete(entry.machine);
    else this.#progress.set(entry.machine, Object.fromEntries(current));
  }
}

/** Whether the machine takes `event` from this session now. */
export function can(machine: Pick<Machine, "allowed"> | undefined, event: string): boolean {
  return machine?.allowed.includes(event) ?? false;
}

export function inState(machine: Pick<Machine, "configuration"> | undefined, ...states: string[]): boolean {
  return machine !== undefined && states.some((state) => machine.configuration.includes(state));
}
