/** The HTTP API: JSON in and out, problems as errors that carry the server's sentence. */

import { newTrace } from "./trace";

export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly temporary: boolean;
  /** What stands there now, where the request was about something earlier. */
  readonly current: unknown;

  constructor(status: number, code: string, sentence: string, temporary: boolean, current?: unknown) {
    super(sentence);
    this.status = status;
    this.code = code;
    this.temporary = temporary;
    this.current = current;
  }
}

interface Credentials {
  /** Sent with every request that changes something. */
  csrf: string;
  /** Called when the server knows the session no more. */
  onExpired: () => void;
}

export const credentials: Credentials = { csrf: "", onExpired: () => undefined };

type Method = "GET" | "POST" | "PUT" | "DELETE";

export async function api<T>(
  method: Method,
  path: string,
  body?: unknown,
  more: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<T> {
  return (await ask<T>(method, path, body, more, signal)).value;
}

/** Every row of a list that comes by page: each page's `Link` leads to the next one. */
export async function allPages<T>(path: string): Promise<T[]> {
  const rows: T[] = [];
  for (let next: string | undefined = path; next !== undefined; ) {
    const page: Answer<T[]> = await ask<T[]>("GET", next);
    rows.push(...page.value);
    next = nextIn(page.link);
  }
  return rows;
}

/** One page of a list, and the address of the next one while there is one. */
export async function pageOf<T>(path: string): Promise<{ value: T; next: string | undefined }> {
  const page = await ask<T>("GET", path);
  return { value: page.value, next: nextIn(page.link) };
}

/** The address that a `Link` header gives for `rel="next"`. */
export function nextIn(link: string): string | undefined {
  return /<([^>]*)>;\s*rel="next"/.exec(link)?.[1];
}

interface Answer<T> {
  value: T;
  link: string;
}

async function ask<T>(
  method: Method,
  path: string,
  body?: unknown,
  more: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Answer<T>> {
  const headers: Record<string, string> = { Accept: "application/json", traceparent: newTrace(), ...more };
  if (method !== "GET") headers["X-CSRF-Token"] = credentials.csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
  } catch {
    throw new Problem(0, "network", "The server cannot be reached just now.", true);
  }
  const text = await response.text();
  if (!response.ok) {
    if (response.status === 401) credentials.onExpired();
    throw problemOf(response.status, text);
  }
  return { value: (text ? JSON.parse(text) : undefined) as T, link: response.headers.get("Link") ?? "" };
}

/** The error that a response's body describes. */
export function problemOf(status: number, text: string): Problem {
  try {
    const { code, detail, title, temporary, current } = JSON.parse(text) as Record<string, unknown>;
    return new Problem(status, String(code ?? ""), String(detail ?? title), temporary === true, current);
  } catch {
    return new Problem(status, "http", `The server answered with status ${status}.`, status >= 500);
  }
}

/** What went wrong, as a sentence to show: the server's own words where it spoke. */
export function sentenceOf(error: unknown): string {
  return asSentence(error instanceof Error ? error.message : String(error));
}

export function asSentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
