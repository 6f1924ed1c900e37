/** How much evidence still fits, told before anything is sent in vain. */

import { bytes } from "./format";
import { api } from "./http";

export interface Quota {
  whose: "case" | "person";
  limit: number;
  used: number;
}

export interface Room {
  quotas: Quota[];
  largest_file: number;
}

export const readRoom = (caseId: string): Promise<Room> =>
  api<Room>("GET", `/api/cases/${encodeURIComponent(caseId)}/quotas`);

/** How many more bytes fit into every quota. */
export function left({ quotas }: Room): number {
  return Math.min(Infinity, ...quotas.map(({ limit, used }) => Math.max(0, limit - used)));
}

/** Why a file does not fit after `before` bytes that are on their way already; "" where it does. */
export function unfit(room: Room, size: number, before = 0): string {
  if (size > room.largest_file) {
    return `This file has ${bytes(size)}, and files may have ${bytes(room.largest_file)} at most.`;
  }
  const full = room.quotas.find(({ limit, used }) => used + before + size > limit);
  if (!full) return "";
  const more = Math.max(0, full.limit - full.used - before);
  return `${holder(full)} ${bytes(full.limit)} at most, and ${bytes(more)} of it ${before ? "would be" : "are"} left: this file has ${bytes(size)}. Delete evidence that is not needed, or ask for more room.`;
}

/** `14 MB of 60 MB in this case`. */
export function usedInWords({ whose, limit, used }: Quota): string {
  return `${bytes(used)} of ${bytes(limit)} ${whose === "case" ? "in this case" : "by you in all cases"}`;
}

function holder({ whose }: Quota): string {
  return whose === "case" ? "This case may hold" : "You may hold";
}
