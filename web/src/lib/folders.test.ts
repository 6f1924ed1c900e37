import { describe, expect, it } from "vitest";
import { chosenFolder, linePoints, portions, roughly, SMALL_BYTES } from "./folders";

function file(path: string, size = 1): File {
  const made = new File(["x".repeat(size)], path.split("/").at(-1)!);
  Object.defineProperty(made, "webkitRelativePath", { value: path });
  return made;
}

describe("a chosen folder", () => {
  it("is called by its name, with paths below it in order", () => {
    const folder = chosenFolder([file("Boxes/b/2.txt"), file("Boxes/a.txt")])!;
    expect(folder.title).toBe("Boxes");
    expect(folder.files.map(({ path }) => path)).toEqual(["a.txt", "b/2.txt"]);
  });

  it("is nothing where nothing was chosen", () => {
    expect(chosenFolder([])).toBeUndefined();
  });
});

describe("portions", () => {
  it("hold every file once, large ones alone", () => {
    const wanted = Array.from({ length: 950 }, (_, i) => ({ file: i, bytes: i % 50 === 0 ? SMALL_BYTES + 1 : 9000 }));
    const made = portions(wanted);
    expect(made.flat().sort((a, b) => a.file - b.file)).toEqual(wanted);
    for (const portion of made) {
      expect(portion.length === 1 || portion.every(({ bytes }) => bytes <= SMALL_BYTES)).toBe(true);
      expect(portion.length).toBeLessThanOrEqual(200);
    }
  });

  it("are closed before they hold much more than four megabytes", () => {
    for (const portion of portions(Array.from({ length: 30 }, () => ({ bytes: 900_000 })))) {
      expect(portion.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(6_000_000);
    }
  });
});

describe("estimates", () => {
  it("are told roughly", () => {
    expect([0, 42, 600, 7200, 100_000].map(roughly)).toEqual(["1 s", "42 s", "10 min", "2.0 h", "28 h"]);
  });

  it("draw a line that stays within its frame", () => {
    expect(linePoints([0, 5, 10], 100, 20)).toBe("0.0,20.0 50.0,10.0 100.0,0.0");
    expect(linePoints([0, 0], 100, 20)).toBe("0.0,20.0 100.0,20.0");
    expect(linePoints([], 100, 20)).toBe("");
  });
});
