/** The conversations of a case as the server lists them: names, whose they are, what a search finds in them. */

import { api, sentenceOf } from "./http";
import type { Machine, QueryContext } from "./types";

export interface ThreadRow {
  id: string;
  name: string;
  named: boolean;
  asker: { id: string; name: string };
  started_at: number;
  last_at: number;
  turns: number;
  mine: boolean;
  may_rename: boolean;
  may_delete: boolean;
  /** The latest turn in which the search found its words. */
  found: { machine: string; question: string; excerpt: string } | null;
}

type Turns = Machine<QueryContext>[];

export class Threads {
  readonly #path: string;
  rows = $state.raw<ThreadRow[]>([]);
  words = $state("");
  mine = $state(false);
  trouble = $state("");
  /** Turns that the subscription does not show, by conversation. */
  read = $state.raw<Record<string, Turns>>({});
  #asked = 0;

  constructor(caseId: string) {
    this.#path = `/api/cases/${encodeURIComponent(caseId)}/conversations`;
  }

  get filtered(): boolean {
    return this.words.trim() !== "" || this.mine;
  }

  row(id: string): ThreadRow | undefined {
    return this.rows.find((row) => row.id === id);
  }

  exportUrl(id: string, form: "md" | "json"): string {
    return `${this.#of(id)}/export?form=${form}`;
  }

  /** Ask for the list anew; an answer that was overtaken is dropped. */
  load = async (): Promise<void> => {
    const asked = ++this.#asked;
    const search = new URLSearchParams({ limit: "200" });
    if (this.words.trim()) search.set("q", this.words.trim().slice(0, 200));
    if (this.mine) search.set("mine", "true");
    await this.#try(async () => {
      const rows = await api<ThreadRow[]>("GET", `${this.#path}?${search}`);
      if (asked === this.#asked) this.rows = rows;
    });
  };

  /** Read the turns of a conversation that is older than what the page was sent. */
  open = (id: string): Promise<boolean> =>
    this.#try(async () => {
      const { queries } = await api<{ queries: Turns }>("GET", this.#of(id));
      this.read = { ...this.read, [id]: queries };
    });

  rename = (id: string, name: string): Promise<boolean> =>
    this.#try(async () => {
      const renamed = await api<ThreadRow>("PUT", this.#of(id), { name });
      this.rows = this.rows.map((row) => (row.id === id ? { ...renamed, found: row.found } : row));
    });

  remove = (id: string): Promise<boolean> =>
    this.#try(async () => {
      await api("DELETE", this.#of(id));
      this.rows = this.rows.filter((row) => row.id !== id);
      const { [id]: _, ...others } = this.read;
      this.read = others;
    });

  #of(id: string): string {
    return `${this.#path}/${encodeURIComponent(id)}`;
  }

  async #try(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.trouble = "";
      return true;
    } catch (error) {
      this.trouble = sentenceOf(error);
      return false;
    }
  }
}
