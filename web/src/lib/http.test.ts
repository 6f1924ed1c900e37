import { afterEach, expect, test, vi } from "vitest";
import { allPages, nextIn } from "./http";

afterEach(() => vi.unstubAllGlobals());

function page(rows: number[], next?: string): Response {
  return new Response(JSON.stringify(rows), { headers: next ? { Link: `<${next}>; rel="next"` } : {} });
}

test("pages are read until none leads on, in order", async () => {
  const pages: Record<string, Response> = {
    "/list": page([1, 2], "/list?after=b"),
    "/list?after=b": page([3], "/list?after=c"),
    "/list?after=c": page([]),
  };
  vi.stubGlobal("fetch", (path: string) => Promise.resolve(pages[path]));
  expect(await allPages<number>("/list")).toEqual([1, 2, 3]);
});

test("only the next page counts among links", () => {
  expect(nextIn('</list?after=b&limit=2>; rel="next"')).toBe("/list?after=b&limit=2");
  expect(nextIn('</list>; rel="prev"')).toBeUndefined();
  expect(nextIn("")).toBeUndefined();
});
