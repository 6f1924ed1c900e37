import { describe, expect, it } from "vitest";
import { differences, shortened } from "./differences";

const text = (kind: "gone" | "new", one: string, other: string) =>
  (differences(one, other) ?? []).filter((piece) => piece.kind === kind || piece.kind === "same").map((piece) => piece.text).join("");

describe("differences", () => {
  it("tells changed words apart from those that stayed", () => {
    expect(differences("The ship left at noon.", "The ship sailed at noon.")).toEqual([
      { kind: "same", text: "The ship " },
      { kind: "gone", text: "left" },
      { kind: "new", text: "sailed" },
      { kind: "same", text: " at noon." },
    ]);
  });

  it("gives both texts back, whatever was changed", () => {
    const one = "A first line.\n\nAn old one.\nThe same line.\nGone.\n";
    const other = "A header.\nA first line.\n\nA new one, longer.\nThe same line.\n";
    expect(text("gone", one, other)).toBe(one);
    expect(text("new", one, other)).toBe(other);
  });

  it("finds nothing between equal texts and everything between strange ones", () => {
    expect(differences("same\n", "same\n")).toEqual([{ kind: "same", text: "same\n" }]);
    expect(differences("", "new")).toEqual([{ kind: "new", text: "new" }]);
    expect(differences("", "")).toEqual([]);
  });
});

describe("shortened", () => {
  it("leaves out what is far from every difference and says how much", () => {
    const same = "word ".repeat(400);
    const pieces = shortened([
      { kind: "new", text: "Header. " },
      { kind: "same", text: same },
      { kind: "gone", text: "End." },
    ]);
    expect(pieces.map(({ kind }) => kind)).toEqual(["new", "same", "skipped", "same", "gone"]);
    const kept = pieces.reduce((sum, piece) => sum + (piece.kind === "skipped" ? piece.characters : piece.kind === "same" ? piece.text.length : 0), 0);
    expect(kept).toBe(same.length);
  });

  it("keeps short stretches whole", () => {
    const pieces = [{ kind: "gone" as const, text: "a" }, { kind: "same" as const, text: " short " }, { kind: "new" as const, text: "b" }];
    expect(shortened(pieces)).toEqual(pieces);
  });
});
