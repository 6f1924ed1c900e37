import { describe, expect, it } from "vitest";
import { bars, byMonth, dateInWords, type TimelineEntry } from "./timeline";

const entry = (at: string): TimelineEntry => ({
  at, kind: "told", otherwise: "", evidence: 1, title: "", page: 0, start: 0, end: 0, chunk: 0, before: "", written: "", behind: "", names: [],
});

describe("a timeline", () => {
  it("says a date as exactly as it is told", () => {
    expect(dateInWords("2001")).toBe("2001");
    expect(dateInWords("2001-06")).toBe("June 2001");
    expect(dateInWords("2001-06-04")).toBe("4 June 2001");
    expect(dateInWords("2001-06-04T09:30:00")).toBe("4 June 2001, 09:30");
    expect(dateInWords("2001-06-04T00:00:00")).toBe("4 June 2001");
  });

  it("groups what comes in order by month", () => {
    const groups = byMonth(["2001", "2001-06", "2001-06-04", "2001-07-01"].map(entry));
    expect(groups.map(({ key, entries }) => [key, entries.length])).toEqual([["2001", 1], ["2001-06", 2], ["2001-07", 1]]);
  });

  it("draws a bar for each month in its place", () => {
    const drawn = bars([{ month: "2001-01", entries: 1 }, { month: "2001-04", entries: 4 }]);
    expect(drawn.map(({ x, width, height }) => [x, width, height])).toEqual([[0, 0.25, 0.5], [0.75, 0.25, 1]]);
    expect(bars([])).toEqual([]);
  });
});
