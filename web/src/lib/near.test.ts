import { describe, expect, it } from "vitest";
import { evidenceOf, grouped } from "./near";
import type { Hit } from "./types";

const hit = (node: number, evidence: number, snippet: string) => ({
  hit: { node, evidence, snippet, title: "", place: { page: 0, start: 0, end: 0, boxes: [] }, highlights: [], legs: {}, path: [], source: "evidence", url: "", fetched_at: 0 } as Hit,
});

const SAID = "The copper shipment left the harbour in the evening and nobody saw it go.";
const OTHER = "Payments were made in cash on the first Monday of each month to the clerk.";

describe("grouped", () => {
  it("puts the same passage of a near copy under the best one and hides nothing", () => {
    const hits = [hit(1, 10, SAID), hit(2, 30, SAID), hit(3, 20, `…${SAID.toUpperCase()}`), hit(4, 20, OTHER)];
    const groups = grouped(hits, [{ a: 10, b: 20, kind: "text", score: 0.9 }]);
    expect(groups.map(({ best, copies }) => [best.hit.node, copies.map((one) => one.hit.node)])).toEqual([
      [1, [3]],
      [2, []],
      [4, []],
    ]);
  });

  it("leaves every hit alone where nothing is linked", () => {
    const hits = [hit(1, 10, SAID), hit(2, 20, SAID)];
    expect(grouped(hits, []).map(({ best }) => best.hit.node)).toEqual([1, 2]);
  });

  it("does not join two passages of one piece of evidence", () => {
    const groups = grouped([hit(1, 10, SAID), hit(2, 10, SAID)], [{ a: 10, b: 20, kind: "text", score: 1 }]);
    expect(groups).toHaveLength(2);
  });
});

describe("evidenceOf", () => {
  it("asks about different evidence only", () => {
    expect(evidenceOf([hit(1, 20, ""), hit(2, 10, ""), hit(3, 20, "")])).toEqual([10, 20]);
    expect(evidenceOf([hit(1, 20, ""), hit(2, 20, "")])).toEqual([]);
  });
});
