/** Evidence that words are found in, looked for on the server: of many thousands, a page knows a few hundred. */

import { api, sentenceOf } from "./http";
import type { EvidenceSummary } from "./types";

const PAGE = 200;
/** Whoever types is not answered at every letter. */
const PAUSE_MS = 250;

export class EvidenceFilter {
  /** What was found so far, for `words`. */
  found = $state.raw<EvidenceSummary[]>([]);
  words = $state("");
  /** The topic that it belongs to, 0 for any. */
  topic = $state(0);
  /** Whether there is more of it than `found`. */
  more = $state(false);
  busy = $state(false);
  trouble = $state("");
  readonly #path: string;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Ends the request whose answer nobody waits for any more. */
  #asked: AbortController | undefined;

  /** `path` is that of the case's evidence. */
  constructor(path: string) {
    this.#path = path;
  }

  /** Look for words, perhaps in one topic, a moment later, unless others follow; at once where `now` says so. */
  look(words: string, now = false, topic = 0): void {
    this.stop();
    this.trouble = "";
    this.busy = true;
    this.#timer = setTimeout(() => void this.#read(words, topic, []), now ? 0 : PAUSE_MS);
  }

  /** The next of what is found. */
  readMore(): Promise<void> {
    this.stop();
    return this.#read(this.words, this.topic, this.found);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    this.busy = false;
  }

  async #read(words: string, topic: number, before: EvidenceSummary[]): Promise<void> {
    const asked = (this.#asked = new AbortController());
    this.busy = true;
    const query = new URLSearchParams({ words, topic: String(topic), limit: String(PAGE), after: String(before.at(-1)?.id ?? 0) });
    try {
      const page = await api<EvidenceSummary[]>("GET", `${this.#path}?${query}`, undefined, {}, asked.signal);
      if (asked.signal.aborted) return;
      this.found = [...before, ...page];
      this.words = words;
      this.topic = topic;
      this.more = page.length === PAGE;
      this.trouble = "";
    } catch (error) {
      if (asked.signal.aborted) return;
      this.trouble = sentenceOf(error);
    }
    this.busy = false;
  }
}
