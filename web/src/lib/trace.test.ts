import { expect, it } from "vitest";

import { newTrace } from "./trace";

it("is a traceparent of its own each time", () => {
  const first = newTrace();
  expect(first).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(newTrace()).not.toBe(first);
});
