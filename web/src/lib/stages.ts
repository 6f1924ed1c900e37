/** The stages of the charts in the words that a page shows. */

import type { Work, WorkStatus } from "./types";

export const UPLOAD_STAGES: readonly (readonly [string, string])[] = [
  ["assembling", "Put together"],
  ["verifying", "Verify"],
  ["extracting", "Read"],
  ["embedding", "Embed"],
  ["indexing", "Index"],
  ["linking", "Link"],
  ["tagging", "Tag"],
  ["summarising", "Summarise"],
];

export const QUERY_STAGES: readonly (readonly [string, string])[] = [
  ["resolving", "Understand"],
  ["fetching_articles", "Look outside"],
  ["embedding_articles", "Compare"],
  ["by_meaning", "Meaning"],
  ["by_words", "Words"],
  ["by_links", "Links"],
  ["ranking", "Rank"],
  ["answering", "Answer"],
];

export const DETECTIVE_STAGES: readonly (readonly [string, string])[] = [
  ["traversing", "Follow links"],
  ["matching", "Compare"],
  ["ranking", "Rank"],
  ["explaining", "Explain"],
];

export const POI_STAGES: readonly (readonly [string, string])[] = [
  ["sizing", "Count"],
  ["searching", "Search"],
];

export const STATUS_WORDS: Record<WorkStatus, string> = {
  queued: "queued",
  running: "running",
  waiting: "waits to try again",
  done: "done",
  broken: "broken",
};

export function isLive(work: Work | undefined): boolean {
  return work !== undefined && ["queued", "running", "waiting"].includes(work.status);
}
