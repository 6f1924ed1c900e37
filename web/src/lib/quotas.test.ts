import { describe, expect, it } from "vitest";
import { left, unfit, usedInWords, type Room } from "./quotas";

const room: Room = {
  quotas: [
    { whose: "case", limit: 60_000_000, used: 14_000_000 },
    { whose: "person", limit: 50_000_000, used: 49_000_000 },
  ],
  largest_file: 40_000_000,
};
const free: Room = { quotas: [], largest_file: 40_000_000 };

describe("room for evidence", () => {
  it("is what the fullest quota leaves", () => {
    expect([left(room), left(free), left({ ...room, quotas: [{ whose: "case", limit: 1, used: 3 }] })]).toEqual([1_000_000, Infinity, 0]);
  });

  it("is enough up to the last byte, and counts what goes before", () => {
    expect([unfit(room, 1_000_000), unfit(room, 400_000, 600_000), unfit(free, 40_000_000)]).toEqual(["", "", ""]);
    expect(unfit(room, 1_000_001)).toContain("You may hold 50 MB at most, and 1.0 MB of it are left: this file has 1.0 MB.");
    expect(unfit(room, 500_000, 600_000)).toContain("400 kB of it would be left");
    expect(unfit(free, 40_000_001)).toBe("This file has 40 MB, and files may have 40 MB at most.");
  });

  it("is told in words", () => {
    expect(room.quotas.map(usedInWords)).toEqual(["14 MB of 60 MB in this case", "49 MB of 50 MB by you in all cases"]);
  });
});
