import { describe, expect, it } from "vitest";
import { completed, fitting, type Suggestion } from "./suggest";

const ALL: Suggestion[] = [
  { text: "Who signed the lease?", why: "asked" },
  { text: "What did Zoë Marsh tell Piet Osman about blasting?", why: "people" },
  { text: "What is said about permits?", why: "topic" },
  { text: "Zoë Marsh", why: "name" },
  { text: "Piet Osman", why: "name" },
];

const texts = (typed: string, most = 9) => fitting(ALL, typed, most).map(({ question }) => question);

describe("suggestions", () => {
  it("are questions alone where nothing is typed", () => {
    expect(texts("", 2)).toEqual([ALL[0]!.text, ALL[1]!.text]);
    expect(texts("  ")).toHaveLength(3);
  });

  it("fit when every typed word begins one of theirs, without case or accents", () => {
    expect(texts("what ZOE bla")).toEqual([ALL[1]!.text]);
    expect(texts("permits for")).toEqual([]);
  });

  it("complete the name that is being typed, and keep what stands before it", () => {
    expect(texts("Where was Zo")).toEqual(["Where was Zoë Marsh"]);
    expect(texts("Where was Piet Os")).toEqual(["Where was Piet Osman"]);
    expect(completed("Where was Piet Osman", ALL[4]!)).toBeNull();
  });

  it("say nothing of one letter, nor of what is already there", () => {
    expect(texts("W")).toEqual([]);
    expect(texts("Who signed the lease?")).toEqual([]);
    expect(texts("Where was Zoë ")).toEqual([]);
  });
});
