import { expect, test } from "vitest";
import { seen, speed, timeLeft, type Seen } from "./speed";

function run(samples: [number, number][]): Seen[] {
  return samples.reduce((known: Seen[], [at, bytes]) => seen(known, at, bytes), []);
}

test("nothing is said before something was seen for two seconds", () => {
  expect(speed([], 5)).toBeUndefined();
  expect(speed(run([[0, 0], [1, 100]]), 1)).toBeUndefined();
  expect(speed(run([[0, 0], [2, 100]]), 2)).toBe(50);
});

test("only the last ten seconds count", () => {
  const samples = run(Array.from({ length: 61 }, (_, at) => [at, at < 50 ? at * 1000 : 50_000 + (at - 50) * 10]));
  expect(speed(samples, 60)).toBe(10);
  expect(samples.length).toBeLessThan(13);
});

test("a sender who sends nothing gets slower, not stuck at its last speed", () => {
  const samples = run([[0, 0], [2, 2000]]);
  expect(speed(samples, 2)).toBe(1000);
  expect(speed(samples, 20)).toBe(100);
});

test("what begins anew is measured anew", () => {
  expect(speed(run([[0, 5000], [3, 8000], [4, 0], [6, 200]]), 6)).toBe(100);
});

test("the rest is told in words that promise no more than is known", () => {
  expect(timeLeft(100, undefined)).toBe("");
  expect(timeLeft(100, 0)).toBe("");
  expect(timeLeft(100, 50)).toBe("a few seconds left");
  expect(timeLeft(1000, 31)).toBe("about 30 s left");
  expect(timeLeft(6000, 10)).toBe("about 10 min left");
  expect(timeLeft(72_000, 10)).toBe("about 2 h left");
  expect(timeLeft(1e9, 1)).toBe("more than two days left");
});
