/** What is kept beside a case's machines: members, POIs, evidence, entities. Read again when told of a change. */

import { allPages, api, sentenceOf } from "./http";
import { readRoom, type Room } from "./quotas";
import type { CaseDetails, Entity, EvidenceSummary, Role } from "./types";

const RANKS: Record<Role, number> = { viewer: 0, editor: 1, owner: 2 };
const PAGE = 200;

export class CaseData {
  readonly id: string;
  details = $state.raw<CaseDetails | null>(null);
  evidence = $state.raw<EvidenceSummary[]>([]);
  /** Whether the server holds evidence beyond what is listed. */
  moreEvidence = $state(false);
  entities = $state.raw<Entity[]>([]);
  /** How much evidence fits; null until it was read. */
  room = $state.raw<Room | null>(null);
  trouble = $state("");
  /** It waits to be deleted, so nobody changes anything in it. */
  leaving = $state(false);

  constructor(id: string) {
    this.id = id;
  }

  get path(): string {
    return `/api/cases/${encodeURIComponent(this.id)}`;
  }

  hasRole(role: Role): boolean {
    if (this.leaving && role !== "viewer") return false;
    return this.details !== null && RANKS[this.details.role] >= RANKS[role];
  }

  loadDetails = (): Promise<void> =>
    this.#try(async () => {
      this.details = await api<CaseDetails>("GET", this.path);
    });

  loadRoom = (): Promise<void> =>
    this.#try(async () => {
      this.room = await readRoom(this.id);
    });

  loadEntities = (): Promise<void> =>
    this.#try(async () => {
      this.entities = await allPages<Entity>(`${this.path}/entities`);
    });

  /** The first pages again: as many as are shown. */
  loadEvidence = (): Promise<void> =>
    this.#try(async () => {
      const wanted = Math.max(PAGE, this.evidence.length);
      const found: EvidenceSummary[] = [];
      let full = true;
      while (full && found.length < wanted) full = await this.#readPage(found);
      this.evidence = found;
      this.moreEvidence = full;
    });

  loadMoreEvidence = (): Promise<void> =>
    this.#try(async () => {
      const found = [...this.evidence];
      this.moreEvidence = await this.#readPage(found);
      this.evidence = found;
    });

  /** Append the page after the last of `found`; returns whether it was full. */
  async #readPage(found: EvidenceSummary[]): Promise<boolean> {
    const after = found.at(-1)?.id ?? 0;
    const page = await api<EvidenceSummary[]>("GET", `${this.path}/evidence?after=${after}&limit=${PAGE}`);
    found.push(...page);
    return page.length === PAGE;
  }

  async #try(load: () => Promise<void>): Promise<void> {
    try {
      await load();
      this.trouble = "";
    } catch (error) {
      this.trouble = sentenceOf(error);
    }
  }
}
