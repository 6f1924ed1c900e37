import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SHOWN_AFTER_MS, whenShown } from "./shown";

type Seen = (entries: { target: Element; isIntersecting: boolean }[]) => void;

let see: Seen;
let looking: string;
const one = { id: 1 } as unknown as Element;
const two = { id: 2 } as unknown as Element;

beforeEach(() => {
  vi.useFakeTimers();
  looking = "visible";
  vi.stubGlobal("document", {
    get visibilityState() {
      return looking;
    },
  });
  vi.stubGlobal(
    "IntersectionObserver",
    class {
      constructor(seen: Seen) {
        see = seen;
      }
      observe() {}
      disconnect() {}
    },
  );
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("it is told once, after every one was on screen for ten seconds", () => {
  const told = vi.fn();
  whenShown([one, two], told);
  see([{ target: one, isIntersecting: true }]);
  vi.advanceTimersByTime(SHOWN_AFTER_MS);
  expect(told).not.toHaveBeenCalled();
  see([{ target: one, isIntersecting: false }, { target: two, isIntersecting: true }]);
  vi.advanceTimersByTime(SHOWN_AFTER_MS);
  expect(told).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(SHOWN_AFTER_MS);
  expect(told).toHaveBeenCalledTimes(1);
});

test("time on a page that nobody looks at does not count", () => {
  const told = vi.fn();
  whenShown([one], told);
  see([{ target: one, isIntersecting: true }]);
  looking = "hidden";
  vi.advanceTimersByTime(SHOWN_AFTER_MS);
  looking = "visible";
  vi.advanceTimersByTime(SHOWN_AFTER_MS - 1000);
  expect(told).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1000);
  expect(told).toHaveBeenCalledTimes(1);
});

test("nothing is told of nothing, nor once it was stopped", () => {
  const told = vi.fn();
  whenShown([], told);
  const stop = whenShown([one], told);
  see([{ target: one, isIntersecting: true }]);
  vi.advanceTimersByTime(SHOWN_AFTER_MS - 1000);
  stop();
  vi.advanceTimersByTime(SHOWN_AFTER_MS);
  expect(told).not.toHaveBeenCalled();
});
