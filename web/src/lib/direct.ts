/** A file sent straight to the store behind the server, in parts, to addresses that the server gives. */

import { api, Problem } from "./http";

export interface PartPage {
  received: number;
  parts: { number: number; start: number; end: number; url: string }[];
}

const AT_ONCE = 3;
const TRIES = 5;
/** The server wants to hear that an upload goes on. */
const ASK_EVERY_MS = 90_000;

/** Send what is missing of a file and have it put together. Resumes by itself: only missing parts are asked for. */
export async function sendDirect(
  machine: string,
  file: File,
  signal: AbortSignal,
  progress: (sent: number) => void,
): Promise<void> {
  const path = `/api/uploads/${encodeURIComponent(machine)}/multipart`;
  const ask = () => api<PartPage>("POST", path, { bytes: file.size });
  for (let page = await ask(); page.parts.length; page = await ask()) {
    signal.throwIfAborted();
    await sendPage(page, file, signal, progress);
  }
  await api("POST", `${path}/complete`);
}

async function sendPage(page: PartPage, file: File, signal: AbortSignal, progress: (sent: number) => void): Promise<void> {
  const waiting = [...page.parts];
  const sent = new Map<number, number>();
  const until = Date.now() + ASK_EVERY_MS;
  const tell = (number: number, bytes: number) => {
    sent.set(number, bytes);
    progress(page.received + [...sent.values()].reduce((sum, one) => sum + one, 0));
  };
  const worker = async () => {
    for (let part = waiting.shift(); part && Date.now() < until; part = waiting.shift()) {
      const { number, start, end, url } = part;
      await put(url, file.slice(start, end), signal, (bytes) => tell(number, bytes));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function put(url: string, part: Blob, signal: AbortSignal, progress: (sent: number) => void): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const status = await once(url, part, signal, progress);
    if (status >= 200 && status < 300) return;
    signal.throwIfAborted();
    progress(0);
    const temporary = status === 0 || status === 429 || status >= 500;
    if (!temporary || attempt === TRIES) {
      const why = status ? `answered with status ${status}` : "cannot be reached from this browser";
      throw new Problem(status, "store", `The store of files ${why}.`, temporary);
    }
    await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** attempt));
  }
}

/** The status of one attempt, 0 where there was none. */
function once(url: string, part: Blob, signal: AbortSignal, progress: (sent: number) => void): Promise<number> {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    request.open("PUT", url);
    request.upload.onprogress = ({ loaded }) => progress(loaded);
    request.onloadend = () => {
      signal.removeEventListener("abort", abort);
      resolve(request.status);
    };
    signal.addEventListener("abort", abort);
    request.send(part);
  });
}
