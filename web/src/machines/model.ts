/** What the inspector's API answers: machines in a list, counts, and the journal of one. */

import type { Machine, WorkStatus } from "$lib/types";

export type Level = "slow" | "stuck";

export interface Trouble {
  level: Level;
  stage: string;
  since: number;
  why: string;
}

export interface Stage {
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

export interface MachineRow {
  machine: string;
  kind: string;
  topic: string;
  title: string;
  revision: number;
  configuration: string[];
  updated_at: number;
  terminated: boolean;
  spawned_by: string;
  spawned_by_name: string;
  work: Record<string, Stage>;
  troubles: Trouble[];
}

export interface MachinePage {
  machines: MachineRow[];
  next: string | null;
}

export interface StateCount {
  kind: string;
  state: string;
  machines: number;
  finished: number;
}

export interface MachineCounts {
  states: StateCount[];
  counted: number;
  capped: boolean;
  slow: number;
  stuck: number;
}

export interface MachineDetails extends Machine {
  chart_version: number;
  chart_hash: string;
  spawned_by: string;
  spawned_by_name: string;
  troubles: Trouble[];
}

export interface Change {
  path: string[];
  what: "added" | "removed" | "changed";
  old: unknown;
  new: unknown;
}

export interface Arrow {
  source: string;
  target: string;
}

export interface JournalEntry {
  number: number;
  revision: number;
  event: string;
  actor: string;
  actor_name: string;
  at: number;
  from: string[];
  to: string[];
  terminated: boolean;
  changes: Change[];
  taken: Arrow[];
  asked: { stage: string; effect: string; queue: string }[];
  after_s: number;
  left: Record<string, number>;
}

export type Context = Record<string, unknown>;

export interface MachineJournal {
  machine: string;
  kind: string;
  topic: string;
  revision: number;
  base: { revision: number; configuration: string[]; context: Context };
  entries: JournalEntry[];
  next: number | null;
}
