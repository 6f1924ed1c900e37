import { describe, expect, it } from "vitest";
import { hasGap, merge, NOTHING_YET, type Piece } from "./partial";

const piece = (position: number, text: string, attempt = 1): Piece => ({ attempt, position, text });
const textOf = (...pieces: Piece[]) => pieces.reduce(merge, NOTHING_YET).text;

describe("Merging an answer's pieces", () => {
  it("puts them one after the other", () => {
    expect(textOf(piece(0, "The "), piece(4, "note "), piece(9, "says"))).toBe("The note says");
  });

  it("takes a piece that came twice only once", () => {
    expect(textOf(piece(0, "The "), piece(4, "note"), piece(4, "note"), piece(0, "The "))).toBe("The note");
  });

  it("takes only the new end of a piece that overlaps", () => {
    expect(textOf(piece(0, "The no"), piece(0, "The note"), piece(6, "te says"))).toBe("The note says");
  });

  it("lets an early piece wait for those before it, in any order", () => {
    const pieces = [piece(0, "The "), piece(9, "says"), piece(4, "note ")];
    expect(textOf(...pieces)).toBe("The note says");
    expect(textOf(...pieces.toReversed())).toBe("The note says");
  });

  it("knows that something is missing", () => {
    const partial = merge(merge(NOTHING_YET, piece(0, "The ")), piece(9, "says"));
    expect(hasGap(partial)).toBe(true);
    expect(hasGap(merge(partial, piece(4, "note ")))).toBe(false);
  });

  it("begins anew with a later attempt and ignores an earlier one", () => {
    expect(textOf(piece(0, "The note"), piece(0, "It is", 2), piece(8, " says", 1))).toBe("It is");
  });

  it("counts positions in characters, not in UTF-16 units", () => {
    expect(textOf(piece(0, "🚢🚢"), piece(2, " sails"), piece(1, "🚢 sails on"))).toBe("🚢🚢 sails on");
  });
});
