import { describe, expect, it } from "vitest";
import { apply, contextsOf, revert, segmentsOf, workOf } from "./history";
import type { Change, Context, JournalEntry } from "./model";

const OLD: Context = { work: { link: { status: "queued", since: 1 } }, reason: "x", kept: { a: 1 } };
const CHANGES: Change[] = [
  { path: ["pages"], what: "added", old: null, new: 2 },
  { path: ["reason"], what: "removed", old: "x", new: null },
  { path: ["work", "link", "since"], what: "changed", old: 1, new: 3 },
  { path: ["work", "link", "status"], what: "changed", old: "queued", new: "running" },
];
const NEW: Context = { work: { link: { status: "running", since: 3 } }, kept: { a: 1 }, pages: 2 };

function entry(revision: number, at: number, more: Partial<JournalEntry> = {}): JournalEntry {
  return {
    number: revision, revision, event: "e", actor: "system", actor_name: "", at, from: [], to: ["link"],
    terminated: false, changes: [], taken: [], asked: [], after_s: 0, left: {}, ...more,
  };
}

function set(...path: string[]): (value: unknown) => Change {
  return (value) => ({ path, what: "added", old: null, new: value });
}

describe("changes", () => {
  it("lead forwards and back and leave what they are given", () => {
    const before = structuredClone(OLD);
    expect(apply(OLD, CHANGES)).toEqual(NEW);
    expect(revert(NEW, CHANGES)).toEqual(OLD);
    expect(OLD).toEqual(before);
  });

  it("share what they do not touch", () => {
    expect(apply(OLD, CHANGES).kept).toBe(OLD.kept);
  });

  it("keep an old or new null apart from what is missing", () => {
    const change: Change = { path: ["answer"], what: "changed", old: null, new: 1 };
    expect(revert({ answer: 1 }, [change])).toEqual({ answer: null });
  });
});

describe("contexts", () => {
  it("follow each other from the base on", () => {
    const contexts = contextsOf({ revision: 0, context: {} }, [
      entry(1, 1, { changes: [set("a")(1)] }),
      entry(2, 2, { changes: [set("b")(2)] }),
    ]);
    expect(contexts).toEqual([{ a: 1 }, { a: 1, b: 2 }]);
  });

  it("forget what was lost when a revision is taken anew", () => {
    const contexts = contextsOf({ revision: 0, context: {} }, [
      entry(1, 1, { changes: [set("a")(1)] }),
      entry(2, 2, { changes: [set("lost")(1)] }),
      entry(2, 3, { changes: [set("b")(1)] }),
    ]);
    expect(contexts.at(-1)).toEqual({ a: 1, b: 1 });
  });
});

describe("segments", () => {
  const work = (status: string, since: number, attempt = 1) => ({ work: { link: { status, since, attempt } } });

  it("are queued, running and done, each for its time", () => {
    const entries = [entry(1, 10), entry(2, 14), entry(3, 20, { to: ["end"] })];
    const contexts = [work("queued", 10), work("running", 14), work("done", 14)];
    const segments = segmentsOf(entries, contexts, 99);
    expect(segments.map(({ status, from, to, open }) => [status, from, to, open])).toEqual([
      ["queued", 10, 14, false],
      ["running", 14, 20, false],
    ]);
  });

  it("last until now while their state does", () => {
    const segments = segmentsOf([entry(1, 10)], [work("running", 10)], 25);
    expect(segments).toEqual([expect.objectContaining({ from: 10, to: 25, open: true })]);
  });

  it("end when their state is left, whatever their work says", () => {
    const segments = segmentsOf([entry(1, 10), entry(2, 12, { to: ["cancelled"] })], [work("queued", 10), work("queued", 10)], 99);
    expect(segments).toEqual([expect.objectContaining({ from: 10, to: 12, open: false })]);
  });
});

describe("an entry", () => {
  it("tells what it did to which stage", () => {
    const changes: Change[] = [
      { path: ["work", "link", "since"], what: "changed", old: 1, new: 3 },
      { path: ["work", "link", "status"], what: "changed", old: "queued", new: "running" },
      { path: ["work", "tag"], what: "added", old: null, new: { status: "queued" } },
      { path: ["title"], what: "changed", old: "", new: "running" },
    ];
    expect(workOf(entry(1, 1, { changes }))).toEqual(["link running", "tag queued"]);
  });
});
