import { expect, test } from "vitest";
import { choiceOf, idsOf, type NamePair, type NameSide } from "./names";

const side = (node: number, kind: string): NameSide => ({ node, kind, name: "x", aliases: [], mentions: 1, quotes: [] });
const pair = (kind: string): NamePair => ({ left: side(1, "person"), right: side(2, kind), score: 0.5, reasons: [] });

test("a person of interest and another entity are named apart", () => {
  expect(idsOf(pair("poi"))).toEqual({ entity: 1, poi: 2 });
  expect(idsOf(pair("person"))).toEqual({ entity: 1, other: 2 });
});

const pressed = (key: string, more: object = {}) =>
  ({ key, ctrlKey: false, metaKey: false, altKey: false, repeat: false, defaultPrevented: false, target: null, ...more }) as unknown as KeyboardEvent;

test("keys judge, but not while somebody types or a key is held", () => {
  expect(choiceOf(pressed("S"))).toBe("same");
  expect(choiceOf(pressed("z"))).toBe("undo");
  expect(choiceOf(pressed("x"))).toBeUndefined();
  expect(choiceOf(pressed("s", { ctrlKey: true }))).toBeUndefined();
  expect(choiceOf(pressed("s", { repeat: true }))).toBeUndefined();
  expect(choiceOf(pressed("s", { target: { closest: () => ({}) } }))).toBeUndefined();
});
