import { describe, expect, it } from "vitest";
import { EVERYTHING, fromAddress, isNarrowed, toAddress, toQuery } from "./search";

describe("a search", () => {
  it("comes back from its address", () => {
    const search = { ...EVERYTHING, kind: "upload", state: "ready", text: "a & b", trouble: "stuck" as const };
    expect(fromAddress(new URL(toAddress(search), "http://x").searchParams)).toEqual(search);
    expect(toAddress(EVERYTHING)).toBe("/machines");
    expect([isNarrowed(search), isNarrowed(EVERYTHING)]).toEqual([true, false]);
  });

  it("leaves open what an address tells without sense", () => {
    expect(fromAddress(new URLSearchParams("life=dead&age=9y&trouble=x&colour=red&kind=upload"))).toEqual({
      ...EVERYTHING,
      kind: "upload",
    });
  });

  it("asks for ages as times", () => {
    expect(toQuery({ ...EVERYTHING, age: "1h" }, 10_000)).toBe("changed_after=6400");
    expect(toQuery({ ...EVERYTHING, age: "-1h" }, 10_000, { limit: 5 })).toBe("changed_before=6400&limit=5");
    expect(toQuery({ ...EVERYTHING, text: " " }, 0, { after: "1~a" })).toBe("after=1%7Ea");
  });
});
