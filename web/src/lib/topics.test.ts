import { describe, expect, it } from "vitest";
import { can, Topics } from "./topics.svelte";
import type { Entry, Machine, Subscribed } from "./types";

const TOPIC = "case:1";

function machine(id: string, fields: Partial<Machine> = {}): Machine {
  return {
    machine: id,
    kind: "upload",
    topic: TOPIC,
    revision: 1,
    configuration: ["receiving"],
    context: { filename: `${id}.pdf`, reason: "" },
    allowed: ["cancel"],
    terminated: false,
    updated_at: 1,
    ...fields,
  };
}

function entry(offset: number, id: string, fields: Partial<Entry> = {}): Entry {
  return {
    type: "entry",
    topic: TOPIC,
    epoch: "e1",
    offset,
    machine: id,
    kind: "upload",
    revision: 2,
    event: "received",
    from: ["receiving"],
    to: ["verifying"],
    context: {},
    removed: [],
    allowed: ["cancel"],
    terminated: false,
    gone: false,
    at: offset,
    actor: "system",
    ...fields,
  };
}

function snapshot(offset: number, machines: Machine[], epoch = "e1"): Subscribed {
  return { topic: TOPIC, epoch, offset, recovered: false, machines, more: false };
}

function opened(): { topics: Topics; recovered: string[]; fetched: string[] } {
  const topics = new Topics();
  const recovered: string[] = [];
  const fetched: string[] = [];
  topics.recovery = { recover: (topic) => recovered.push(topic), fetchPartial: (id) => fetched.push(id) };
  topics.open(TOPIC);
  return { topics, recovered, fetched };
}

function state(topics: Topics): Record<string, Machine> {
  return Object.fromEntries(topics.topic(TOPIC)!.machines);
}

describe("A snapshot and the entries after it", () => {
  it("equal a fresh snapshot", () => {
    const { topics } = opened();
    topics.subscribed(snapshot(4, [machine("a"), machine("b")]));
    topics.entry(entry(5, "a", { context: { sha256: "ff", reason: "x" }, removed: ["filename"] }));
    topics.entry(entry(6, "c", { revision: 1, from: [], to: ["receiving"], context: { filename: "c.pdf" } }));
    topics.entry(entry(7, "b", { gone: true }));

    const fresh = opened().topics;
    fresh.subscribed(
      snapshot(7, [
        machine("a", { revision: 2, configuration: ["verifying"], context: { sha256: "ff", reason: "x" }, updated_at: 5 }),
        machine("c", { context: { filename: "c.pdf" }, updated_at: 6 }),
      ]),
    );
    expect(state(topics)).toEqual(state(fresh));
    expect(topics.topic(TOPIC)!.position).toEqual(fresh.topic(TOPIC)!.position);
  });

  it("leave no machine behind that a later snapshot does not hold", () => {
    const { topics } = opened();
    topics.subscribed(snapshot(4, [machine("a"), machine("b")]));
    topics.snapshot({ topic: TOPIC, epoch: "e2", offset: 1, machines: [machine("b")], more: false });
    expect(Object.keys(state(topics))).toEqual(["b"]);
    expect(topics.topic(TOPIC)!.position).toEqual({ epoch: "e2", offset: 1 });
  });

  it("keep what the server allows, and nothing else", () => {
    const { topics } = opened();
    topics.subscribed(snapshot(1, [machine("a")]));
    topics.entry(entry(2, "a", { allowed: ["retry"] }));
    expect(can(topics.machine("a"), "retry")).toBe(true);
    expect(can(topics.machine("a"), "cancel")).toBe(false);
  });
});

describe("An entry out of order", () => {
  it("that is old changes nothing", () => {
    const { topics, recovered } = opened();
    topics.subscribed(snapshot(4, [machine("a", { revision: 7 })]));
    expect(topics.entry(entry(4, "a", { to: ["failed"] }))).toBe("old");
    expect(topics.machine("a")!.configuration).toEqual(["receiving"]);
    expect(recovered).toEqual([]);
  });

  it("that leaves a gap is not applied and asks for recovery", () => {
    const { topics, recovered } = opened();
    topics.subscribed(snapshot(4, [machine("a")]));
    expect(topics.entry(entry(6, "a", { to: ["failed"] }))).toBe("gap");
    expect(topics.machine("a")!.configuration).toEqual(["receiving"]);
    expect(recovered).toEqual([TOPIC]);
  });

  it("of another epoch asks for recovery", () => {
    const { topics, recovered } = opened();
    topics.subscribed(snapshot(4, [machine("a")]));
    expect(topics.entry(entry(5, "a", { epoch: "e2" }))).toBe("gap");
    expect(recovered).toEqual([TOPIC]);
  });

  it("before the first snapshot waits for it", () => {
    const { topics } = opened();
    expect(topics.entry(entry(5, "a"))).toBe("waiting");
    expect(state(topics)).toEqual({});
  });
});

describe("A recovery", () => {
  it("applies what was missed, once, and stands where the reply says", () => {
    const { topics } = opened();
    topics.subscribed(snapshot(4, [machine("a")]));
    topics.entry(entry(5, "a", { to: ["verifying"] }));
    const seen: number[] = [];
    topics.watch(({ offset }) => seen.push(offset));
    topics.subscribed({
      topic: TOPIC,
      epoch: "e1",
      offset: 7,
      recovered: true,
      entries: [entry(5, "a", { to: ["paused"] }), entry(6, "a", { to: ["extracting"] }), entry(7, "a", { to: ["locked"] })],
    });
    expect(seen).toEqual([6, 7]);
    expect(topics.machine("a")!.configuration).toEqual(["locked"]);
    expect(topics.entry(entry(8, "a", { to: ["failed"] }))).toBe("applied");
  });

  it("with a hole in it asks for a whole snapshot", () => {
    const { topics, recovered } = opened();
    topics.subscribed(snapshot(4, [machine("a")]));
    topics.subscribed({ topic: TOPIC, epoch: "e1", offset: 7, recovered: true, entries: [entry(7, "a")] });
    expect(recovered).toEqual([TOPIC]);
    expect(topics.topic(TOPIC)!.position).toBeUndefined();
  });
});

describe("A topic whose right has ended", () => {
  it("shows nothing but the reason, until it is given again", () => {
    const { topics } = opened();
    topics.subscribed(snapshot(4, [machine("a")]));
    topics.close(TOPIC, "You no longer have access to this.");
    expect(state(topics)).toEqual({});
    expect(topics.topic(TOPIC)!.closed).toBe("You no longer have access to this.");
    topics.subscribed(snapshot(9, [machine("a")]));
    expect(topics.topic(TOPIC)!.closed).toBe("");
  });
});

describe("Passing messages", () => {
  it("tell a stage's progress until the stage is left", () => {
    const { topics } = opened();
    topics.subscribed(snapshot(1, [machine("a", { configuration: ["extracting"] })]));
    const data = { stage: "extracting", done: 3, total: 9, unit: "pages" };
    topics.passing({ type: "passing", topic: TOPIC, machine: "a", what: "progress", data });
    expect(topics.progress("a", "extracting")).toEqual({ done: 3, total: 9, unit: "pages" });
    topics.entry(entry(2, "a", { to: ["extracting"] }));
    expect(topics.progress("a", "extracting")).toBeDefined();
    topics.entry(entry(3, "a", { to: ["analysing"] }));
    expect(topics.progress("a", "extracting")).toBeUndefined();
  });

  it("tell how many jobs are ahead, anew each time, until the machine is gone", () => {
    const { topics } = opened();
    topics.subscribed(snapshot(1, [machine("a"), machine("b")]));
    const position = (id: string, data: Record<string, number>) =>
      topics.passing({ type: "passing", topic: TOPIC, machine: id, what: "position", data });
    expect(topics.ahead("a", "a:3")).toBeUndefined();
    position("a", { "a:3": 12, "a:4": 0 });
    position("b", { "b:1": 7 });
    expect(topics.ahead("a", "a:3")).toBe(12);
    expect(topics.ahead("a", "a:4")).toBe(0);
    expect(topics.ahead("b", "a:3")).toBeUndefined();
    position("a", { "a:3": 11 });
    expect(topics.ahead("a", "a:3")).toBe(11);
    expect(topics.ahead("a", "a:4")).toBeUndefined();
    topics.entry(entry(2, "a", { gone: true }));
    expect(topics.ahead("a", "a:3")).toBeUndefined();
    expect(topics.ahead("b", "b:1")).toBe(7);
  });

  it("build the answer, and ask for what went missing", () => {
    const { topics, fetched } = opened();
    const token = (position: number, text: string) =>
      topics.passing({ type: "passing", topic: TOPIC, machine: "q", what: "token", data: { attempt: 1, position, text } });
    token(0, "It ");
    expect(fetched).toEqual([]);
    token(9, "the ");
    expect(topics.partial("q").text).toBe("It ");
    expect(fetched).toEqual(["q"]);
    topics.addPiece("q", { attempt: 1, position: 0, text: "It is " });
    token(13, "quay");
    expect(fetched).toEqual(["q", "q"]);
    topics.addPiece("q", { attempt: 1, position: 0, text: "It is at the" });
    expect(topics.partial("q").text).toBe("It is at the quay");
  });
});
