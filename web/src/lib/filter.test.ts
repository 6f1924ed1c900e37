import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EvidenceFilter } from "./filter.svelte";

interface Asked {
  url: string;
  aborted: () => boolean;
  answer: (ids: number[]) => Promise<void>;
}

describe("the filter of evidence", () => {
  let asked: Asked[];

  beforeEach(() => {
    asked = [];
    vi.useFakeTimers();
    vi.stubGlobal("fetch", (url: string, { signal }: { signal: AbortSignal }) =>
      new Promise<Response>((resolve, reject) => {
        signal.addEventListener("abort", () => reject(new DOMException("gone", "AbortError")));
        const answer = async (ids: number[]) => {
          resolve(new Response(JSON.stringify(ids.map((id) => ({ id })))));
          await vi.advanceTimersByTimeAsync(0);
        };
        asked.push({ url, aborted: () => signal.aborted, answer });
      }),
    );
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  const ids = (filter: EvidenceFilter) => filter.found.map(({ id }) => id);
  const wordsOf = ({ url }: Asked) => new URL(url, "http://x").searchParams.get("words");

  it("asks once for what was typed without a pause", async () => {
    const filter = new EvidenceFilter("/e");
    for (const words of ["p", "pi", "pier & co"]) {
      filter.look(words);
      await vi.advanceTimersByTimeAsync(100);
    }
    expect([asked.length, filter.busy]).toEqual([0, true]);
    await vi.advanceTimersByTimeAsync(200);
    expect(asked.map(wordsOf)).toEqual(["pier & co"]);
    await asked[0]!.answer([3, 4]);
    expect([ids(filter), filter.words, filter.busy, filter.more]).toEqual([[3, 4], "pier & co", false, false]);
  });

  it("gives up what is asked for no more, and never shows it", async () => {
    const filter = new EvidenceFilter("/e");
    filter.look("old", true);
    await vi.advanceTimersByTimeAsync(0);
    filter.look("new", true);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked.map((one) => one.aborted())).toEqual([true, false]);
    await asked[1]!.answer([9]);
    await asked[0]!.answer([1]);
    expect([ids(filter), filter.words, filter.trouble]).toEqual([[9], "new", ""]);
  });

  it("looks in one topic, and goes on in it", async () => {
    const filter = new EvidenceFilter("/e");
    filter.look("pier", true, 7);
    await vi.advanceTimersByTimeAsync(0);
    await asked[0]!.answer(Array.from({ length: 200 }, (_, i) => i + 1));
    expect([filter.topic, filter.words]).toEqual([7, "pier"]);
    void filter.readMore();
    expect(asked.map(({ url }) => new URL(url, "http://x").searchParams.get("topic"))).toEqual(["7", "7"]);
  });

  it("goes on behind the last that was found", async () => {
    const filter = new EvidenceFilter("/e");
    filter.look("a", true);
    await vi.advanceTimersByTimeAsync(0);
    await asked[0]!.answer(Array.from({ length: 200 }, (_, i) => i + 1));
    expect(filter.more).toBe(true);
    void filter.readMore();
    expect(asked[1]!.url).toContain("after=200");
    await asked[1]!.answer([201]);
    expect([filter.found.length, filter.more]).toEqual([201, false]);
  });
});
