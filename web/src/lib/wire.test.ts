import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Wire, type Socket, type WireReader } from "./wire";

/** A socket whose other end is the test. */
class Line implements Socket {
  onopen: (() => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  readonly sent: Record<string, unknown>[] = [];
  closed = false;
  readyState = 1;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  close(): void {
    this.closed = true;
  }

  say(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  of(type: string): Record<string, unknown>[] {
    return this.sent.filter((frame) => frame.type === type);
  }
}

function setUp(position?: { epoch: string; offset: number }) {
  const lines: Line[] = [];
  const reader = {
    position: () => position,
    subscribed: vi.fn(),
    entry: vi.fn(),
    snapshot: vi.fn(),
    passing: vi.fn(),
    closed: vi.fn(),
    status: vi.fn(),
    refused: vi.fn(),
  } satisfies WireReader;
  const wire = new Wire(reader, () => {
    const line = new Line();
    lines.push(line);
    return line;
  });
  const line = () => lines.at(-1)!;
  wire.start();
  return { wire, reader, lines, line };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("A request without a reply", () => {
  it("is sent again under the same event id, and its reply counts once", async () => {
    const { wire, line } = setUp();
    line().onopen?.();
    const sent = wire.send("upload-1", "retry");
    vi.advanceTimersByTime(10_000);
    const [first, second] = line().of("send");
    expect(second).toEqual(first);
    expect(first!.event_id).toMatch(/^[0-9a-f]{32}$/);
    line().say({ type: "ok", id: first!.id, revision: 3, repeated: true });
    await expect(sent).resolves.toMatchObject({ revision: 3 });
  });

  it("outlives the connection it was sent on", async () => {
    const { wire, lines, line } = setUp();
    line().onopen?.();
    const sent = wire.spawn("query", "case:1", { question: "Who?" });
    line().onclose?.({ code: 1006 });
    vi.advanceTimersByTime(1_000);
    expect(lines).toHaveLength(2);
    line().onopen?.();
    expect(line().of("spawn")[0]!.trace).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(line().of("spawn")[0]!.trace).toBe(lines[0]!.of("spawn")[0]!.trace);
    expect(line().of("spawn")[0]!.event_id).toBe(lines[0]!.of("spawn")[0]!.event_id);
    line().say({ type: "ok", id: line().of("spawn")[0]!.id, machine: "query-1" });
    await expect(sent).resolves.toMatchObject({ machine: "query-1" });
  });

  it("is given up in the end", async () => {
    const { wire, line } = setUp();
    line().onopen?.();
    const sent = expect(wire.send("upload-1", "retry")).rejects.toMatchObject({ code: "wire.timeout" });
    vi.advanceTimersByTime(120_000);
    await sent;
  });
});

describe("An error", () => {
  it("that is temporary is tried again before it is told", async () => {
    const { wire, line } = setUp();
    line().onopen?.();
    const sent = wire.send("upload-1", "retry");
    const { id } = line().of("send")[0]!;
    line().say({ type: "error", id, code: "busy", message: "busy", temporary: true });
    vi.advanceTimersByTime(1_000);
    expect(line().of("send")).toHaveLength(2);
    line().say({ type: "ok", id, revision: 2 });
    await expect(sent).resolves.toMatchObject({ revision: 2 });
  });

  it("that is final carries the server's sentence", async () => {
    const { wire, line } = setUp();
    line().onopen?.();
    const sent = wire.send("upload-1", "retry");
    line().say({ type: "error", id: line().of("send")[0]!.id, code: "event.not_allowed", message: "not now", temporary: false });
    await expect(sent).rejects.toMatchObject({ code: "event.not_allowed", message: "not now" });
  });

  it("on subscribing closes the topic", async () => {
    const { wire, reader, line } = setUp();
    wire.subscribe("case:1");
    line().onopen?.();
    line().say({ type: "error", id: line().of("subscribe")[0]!.id, code: "forbidden", message: "no", temporary: false });
    await vi.advanceTimersByTimeAsync(0);
    expect(reader.closed).toHaveBeenCalledWith("case:1", "no");
  });
});

describe("A lost connection", () => {
  it("comes back after a pause and resumes each topic from its position", () => {
    const { wire, lines, line, reader } = setUp({ epoch: "e1", offset: 12 });
    wire.subscribe("case:1");
    line().onopen?.();
    line().onclose?.({ code: 3000 });
    expect(reader.status).toHaveBeenLastCalledWith("reconnecting");
    vi.advanceTimersByTime(300);
    expect(lines).toHaveLength(2);
    line().onopen?.();
    expect(line().of("subscribe")).toMatchObject([{ topic: "case:1", since: { epoch: "e1", offset: 12 } }]);
  });

  it("stays away when the code says so", () => {
    const { lines, line, reader } = setUp();
    line().onopen?.();
    line().onclose?.({ code: 3500 });
    vi.advanceTimersByTime(60_000);
    expect(lines).toHaveLength(1);
    expect(reader.status).toHaveBeenLastCalledWith("stopped");
    expect(reader.refused).toHaveBeenCalledOnce();
  });

  it("is noticed when a ping is not answered", () => {
    const { lines, line } = setUp();
    line().onopen?.();
    vi.advanceTimersByTime(25_000);
    expect(line().of("ping")).toHaveLength(1);
    vi.advanceTimersByTime(26_000);
    expect(lines[0]!.closed).toBe(true);
    expect(lines).toHaveLength(2);
  });
});

describe("A topic held twice", () => {
  it("is subscribed once and left with its last holder", () => {
    const { wire, line } = setUp();
    line().onopen?.();
    wire.subscribe("case:1");
    wire.subscribe("case:1");
    expect(line().of("subscribe")).toHaveLength(1);
    expect(wire.unsubscribe("case:1")).toBe(false);
    expect(line().of("unsubscribe")).toHaveLength(0);
    expect(wire.unsubscribe("case:1")).toBe(true);
    expect(line().of("unsubscribe")).toHaveLength(1);
  });
});
