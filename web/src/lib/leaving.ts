/** What was removed and may come back, what is gone for good, and what custody tells of it. */

import { api } from "./http";

export interface RemovedEvidence {
  id: number;
  upload: string;
  filename: string;
  title: string;
  bytes: number;
  media_type: string;
  removed_at: string;
  removed_by: string;
  reason: string;
  /** Unix seconds. */
  grace_until: number;
}

export interface DeletedEvidence {
  id: number;
  upload: string;
  filename: string;
  sha256: string;
  bytes: number;
  deleted_at: string;
  deleted_by: string;
  reason: string;
}

export interface Removed {
  removed: RemovedEvidence[];
  deleted: DeletedEvidence[];
}

interface Person {
  id: string;
  name: string;
}

export interface CustodyEvent {
  topic: string;
  row: number;
  /** UTC, to the millisecond. */
  at: string;
  who: Person;
  what: string;
  detail: string;
  before: string;
  after: string;
}

export interface CustodyReport {
  evidence: number;
  state: "present" | "removed" | "deleted";
  made_at: string;
  events: CustodyEvent[];
  chains: { topic: string; rows: number; signed_to: number; whole: boolean; problems: string[] }[];
}

export const readRemoved = (caseId: string): Promise<Removed> =>
  api<Removed>("GET", `/api/cases/${encodeURIComponent(caseId)}/removed`);

export const readCustody = (evidence: number): Promise<CustodyReport> =>
  api<CustodyReport>("GET", `/api/evidence/${evidence}/custody`);

export const paperUrl = (evidence: number): string => `/api/evidence/${evidence}/custody.pdf`;

/** How long something stays, in words: days while there are any, then hours. */
export function timeLeft(until: number, now: number): string {
  const hours = Math.max(0, until - now) / 3600;
  if (hours >= 47.5) return `${Math.round(hours / 24)} days left`;
  if (hours >= 1.5) return `${Math.round(hours)} hours left`;
  return hours > 0 ? "less than two hours left" : "going now";
}
