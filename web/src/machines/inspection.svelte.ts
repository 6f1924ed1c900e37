/** One machine under inspection: its journal, and the step that is looked at. */

import { topics } from "$lib/connection.svelte";
import { api, sentenceOf } from "$lib/http";
import { contextsOf } from "./history";
import type { Context, JournalEntry, MachineDetails, MachineJournal } from "./model";

const PAGE = 500;
const SOON_MS = 150;
const AGAIN_MS = 5000;

export class Inspection {
  readonly id: string;
  details = $state.raw<MachineDetails | null>(null);
  entries = $state.raw<JournalEntry[]>([]);
  trouble = $state("");
  /** The step chosen by the reader, from 0; undefined follows the newest. */
  chosen = $state<number>();
  #base: { revision: number; context: Context } = { revision: 0, context: {} };
  #after: number | null = 0;
  #loading: Promise<void> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;

  readonly contexts = $derived(contextsOf(this.#base, this.entries));
  readonly last = $derived(this.entries.length - 1);
  readonly at = $derived(Math.min(this.chosen ?? this.last, this.last));
  readonly entry = $derived(this.entries[this.at]);
  readonly context = $derived<Context>(this.contexts[this.at] ?? {});

  constructor(id: string) {
    this.id = id;
  }

  /** Read everything, and go on reading as it happens; returns how to stop. */
  watch(): () => void {
    void this.load();
    const letGo = topics.watch((entry) => {
      if (entry.machine !== this.id) return;
      this.#soon ??= setTimeout(() => {
        this.#soon = undefined;
        void this.load();
      }, SOON_MS);
    });
    const timer = setInterval(() => {
      if (document.visibilityState === "visible" && !this.details?.terminated) void this.load();
    }, AGAIN_MS);
    return () => {
      letGo();
      clearTimeout(this.#soon);
      clearInterval(timer);
    };
  }

  load(): Promise<void> {
    this.#loading ??= this.#load().finally(() => (this.#loading = undefined));
    return this.#loading;
  }

  go(step: number): void {
    const wanted = Math.max(0, Math.min(this.last, step));
    this.chosen = wanted === this.last ? undefined : wanted;
  }

  async #load(): Promise<void> {
    const path = `/api/machines/${encodeURIComponent(this.id)}`;
    try {
      this.details = await api<MachineDetails>("GET", path);
      let after: number | null = this.#after;
      while (after !== null) {
        const page: MachineJournal = await api<MachineJournal>("GET", `${path}/journal?after=${after}&limit=${PAGE}`);
        if (after === 0) this.#base = page.base;
        if (page.entries.length) this.entries = [...this.entries.slice(0, after), ...page.entries];
        after = page.next;
      }
      this.#after = this.entries.length;
      this.trouble = "";
    } catch (error) {
      this.trouble = sentenceOf(error);
    }
  }
}
