import { describe, expect, it } from "vitest";
import { ago, isMoment, span } from "./times";

describe("times", () => {
  it("are known by their key and their size", () => {
    expect([isMoment("since", 1.79e9), isMoment("asked_at", 1.79e9)]).toEqual([true, true]);
    expect([isMoment("bytes", 1.79e9), isMoment("created_at", 0), isMoment("at", "x")]).toEqual([false, false, false]);
  });
});

describe("spans", () => {
  it("have three figures or so, whatever their size", () => {
    const told = [0, 0.0042, 0.9994, 0.9996, 1.204, 9.996, 59.94, 59.96, 187, 3599.6, 7290, 200_000].map(span);
    expect(told).toEqual([
      "0", "4 ms", "999 ms", "1.00 s", "1.20 s", "10.0 s", "59.9 s", "1:00 min", "3:07 min", "1:00 h", "2:01 h", "2.3 d",
    ]);
  });

  it("are told as how long ago, never in the future", () => {
    expect([-3, 4, 5, 59, 60, 3600, 86_400].map(ago)).toEqual([
      "now", "now", "5 s ago", "59 s ago", "1 min ago", "1 h ago", "1 d ago",
    ]);
  });
});
