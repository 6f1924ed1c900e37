import { describe, expect, it } from "vitest";
import { segments, sliceCharacters, unitOffset } from "./text";

const marks = (text: string, ...ranges: [number, number][]) =>
  segments(text, ranges).map((part) => (part.marked ? `[${part.text}]` : part.text)).join("|");

describe("Text by characters", () => {
  it("counts what lies outside the basic plane as one", () => {
    expect(unitOffset("a🚢b", 2)).toBe(3);
    expect(sliceCharacters("a🚢b", 1, 2)).toBe("🚢");
  });

  it("stops at the end of the text", () => {
    expect(unitOffset("abc", 9)).toBe(3);
    expect(unitOffset("🚢", 9)).toBe(2);
  });
});

describe("Cutting a text at marked ranges", () => {
  it("keeps every character once", () => {
    expect(marks("one two three", [4, 7])).toBe("one |[two]| three");
  });

  it("sorts ranges and joins those that overlap or touch", () => {
    expect(marks("one two three", [8, 13], [0, 3], [2, 5], [5, 7])).toBe("[one two]| |[three]");
  });

  it("ignores empty ranges and what lies beyond the end", () => {
    expect(marks("one", [2, 2], [9, 12])).toBe("one");
  });
});
