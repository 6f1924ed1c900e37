import { expect, test } from "vitest";
import { kindsOf, sortOf, sureness, type Finding } from "./findings";

const finding = (kind: string): Finding => ({
  fingerprint: kind,
  kind,
  explicit: true,
  score: 0.7,
  confidence: 1,
  cases: [],
  sentence: "",
  path: [],
  edges: [],
  sources: [],
  verdict: 0,
});

test("kinds are counted in one order, and those that do not occur are left out", () => {
  expect(kindsOf([finding("near"), finding("named"), finding("near")])).toEqual([
    ["named", 1],
    ["near", 2],
  ]);
});

test("a node is called by what it is", () => {
  expect(sortOf({ what: "evidence", kind: "text/plain" })).toBe("evidence");
  expect(sortOf({ what: "entity", kind: "email" })).toBe("e-mail address");
  expect(sortOf({ what: "poi", kind: "poi" })).toBe("person of interest");
});

test("sureness is told in a word", () => {
  expect([1, 0.85, 0.5].map(sureness)).toEqual(["sure", "likely", "uncertain"]);
});
