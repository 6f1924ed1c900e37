/** What is looked for, as it stands in the page's address and as it is asked of the server. */

export interface Search {
  kind: string;
  state: string;
  case: string;
  owner: string;
  text: string;
  life: "" | "live" | "finished";
  trouble: "" | "any" | "stuck";
  /** How long ago the last change is at most, or, with a minus, at least. */
  age: string;
}

export const EVERYTHING: Search = { kind: "", state: "", case: "", owner: "", text: "", life: "", trouble: "", age: "" };

const HOUR = 3600;

export const AGES: readonly (readonly [string, string, number])[] = [
  ["1h", "In the last hour", HOUR],
  ["1d", "In the last day", 24 * HOUR],
  ["1w", "In the last week", 168 * HOUR],
  ["-1h", "More than an hour ago", -HOUR],
  ["-1d", "More than a day ago", -24 * HOUR],
  ["-1w", "More than a week ago", -168 * HOUR],
];

/** The search that an address tells of; what makes no sense is left open. */
export function fromAddress(query: URLSearchParams): Search {
  const search: Search = { ...EVERYTHING };
  for (const key of Object.keys(search) as (keyof Search)[]) {
    const value = query.get(key) ?? "";
    if (isPossible(key, value)) Object.assign(search, { [key]: value });
  }
  return search;
}

function isPossible(key: keyof Search, value: string): boolean {
  if (key === "life") return ["", "live", "finished"].includes(value);
  if (key === "trouble") return ["", "any", "stuck"].includes(value);
  if (key === "age") return value === "" || AGES.some(([id]) => id === value);
  return value.length <= 200;
}

export function toAddress(search: Search): string {
  const given = Object.entries(search).filter(([, value]) => value !== "");
  return given.length ? `/machines?${new URLSearchParams(given)}` : "/machines";
}

/** The query of the API; `now` is in Unix seconds. */
export function toQuery(search: Search, now: number, more: { after?: string | null; limit?: number } = {}): string {
  const { age, ...rest } = search;
  const query = new URLSearchParams(Object.entries(rest).filter(([, value]) => value.trim() !== ""));
  const seconds = AGES.find(([id]) => id === age)?.[2];
  if (seconds !== undefined) query.set(seconds > 0 ? "changed_after" : "changed_before", String(now - Math.abs(seconds)));
  if (more.after) query.set("after", more.after);
  if (more.limit) query.set("limit", String(more.limit));
  return query.toString();
}

export const isNarrowed = (search: Search): boolean => Object.values(search).some((value) => value !== "");
