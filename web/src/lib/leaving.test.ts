import { expect, test } from "vitest";

import { timeLeft } from "./leaving";

test.each([
  [7 * 86400, "7 days left"],
  [2 * 86400, "2 days left"],
  [86400, "24 hours left"],
  [2 * 3600, "2 hours left"],
  [3600, "less than two hours left"],
  [0, "going now"],
  [-5, "going now"],
])("what stays for %i more seconds is said to have %s", (seconds, words) => {
  expect(timeLeft(1000 + seconds, 1000)).toBe(words);
});
