/** The machines that fit a search, page after page, kept up to date while somebody looks. */

import { api, sentenceOf } from "$lib/http";
import { clock } from "$lib/clock.svelte";
import { topics } from "$lib/connection.svelte";
import { untrack } from "svelte";
import type { MachineCounts, MachinePage, MachineRow } from "./model";
import { EVERYTHING, toQuery, type Search } from "./search";

const PAGE = 60;
/** As often as this the list is asked for again: what is slow is told by the server's clock. */
export const REFRESH_MS = 5000;
/** Not more often than this after something has happened. */
const SOON_MS = 700;
const MOST_REFRESHED = 300;

export class MachineList {
  rows = $state.raw<MachineRow[]>([]);
  counts = $state.raw<MachineCounts | null>(null);
  next = $state<string | null>(null);
  trouble = $state("");
  loaded = $state(false);
  #search: Search = EVERYTHING;
  #asked = 0;
  #soon: ReturnType<typeof setTimeout> | undefined;

  /** Look for something; what was found before stays on screen until there is an answer. */
  look(search: Search): void {
    this.#search = search;
    this.next = null;
    this.loaded = false;
    void this.refresh(PAGE);
  }

  /** Read again now and then, and when something happens; returns how to stop. */
  watch(): () => void {
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void this.refresh();
    }, REFRESH_MS);
    const letGo = topics.watch(() => {
      this.#soon ??= setTimeout(() => {
        this.#soon = undefined;
        void this.refresh();
      }, SOON_MS);
    });
    return () => {
      clearInterval(timer);
      clearTimeout(this.#soon);
      letGo();
    };
  }

  /** As many rows as are shown, anew. */
  async refresh(count = this.rows.length): Promise<void> {
    const asked = ++this.#asked;
    const limit = Math.min(MOST_REFRESHED, Math.max(PAGE, count));
    try {
      const [page, counts] = await Promise.all([this.#page({ limit }), api<MachineCounts>("GET", "/api/machines/counts")]);
      if (asked !== this.#asked) return;
      this.counts = counts;
      const beyond = this.loaded ? this.rows.slice(limit) : [];
      this.rows = beyond.length ? merged(page.machines, beyond) : page.machines;
      if (!beyond.length) this.next = page.next;
      this.trouble = "";
      this.loaded = true;
    } catch (error) {
      if (asked === this.#asked) this.trouble = sentenceOf(error);
    }
  }

  /** The page after what is shown. */
  async more(): Promise<void> {
    const [after, search] = [this.next, this.#search];
    if (!after) return;
    try {
      const page = await this.#page({ after, limit: PAGE });
      if (search !== this.#search) return;
      this.rows = merged(this.rows, page.machines);
      this.next = page.next;
    } catch (error) {
      this.trouble = sentenceOf(error);
    }
  }

  #page(more: { after?: string; limit: number }): Promise<MachinePage> {
    return api<MachinePage>("GET", `/api/machines?${toQuery(this.#search, untrack(() => clock.now), more)}`);
  }
}

/** A machine that has moved up stands where it is now only. */
function merged(first: MachineRow[], then: MachineRow[]): MachineRow[] {
  const known = new Set(first.map(({ machine }) => machine));
  return [...first, ...then.filter(({ machine }) => !known.has(machine))];
}
