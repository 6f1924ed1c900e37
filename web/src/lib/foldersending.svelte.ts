/** Folders on their way from this browser: listed, then sent for as long as the server wants files. */

import { SvelteMap } from "svelte/reactivity";
import { portions, SMALL_BYTES, type Folder, type Wanted } from "./folders";
import { allPages, api, credentials, problemOf, Problem, sentenceOf } from "./http";

const LISTED_AT_ONCE = 1000;
const HASHED_BYTES = 256 * 1024;
const AT_ONCE = 3;
const LOOK_MS = 3000;
const PAUSES_MS = [500, 1000, 2000, 5000, 10000];

interface Row extends Wanted {
  state: string;
}

/** The import takes no files any more. */
class Over extends Error {}

export class FolderSending {
  readonly machine: string;
  readonly caseId: string;
  phase = $state<"listing" | "sending" | "watching" | "over">("listing");
  /** How many files have been listed, of how many. */
  listed = $state(0);
  readonly total: number;
  /** Files that the server wants and that are not in the folder that was chosen. */
  missing = $state(0);
  trouble = $state("");
  readonly #files: Map<string, File>;
  readonly #path: string;
  #ended = false;

  constructor(caseId: string, machine: string, folder: Folder) {
    this.caseId = caseId;
    this.machine = machine;
    this.#path = `/api/imports/${encodeURIComponent(machine)}`;
    this.#files = new Map(folder.files.map(({ path, file }) => [path, file]));
    this.total = this.#files.size;
  }

  get busy(): boolean {
    return this.phase === "listing" || this.phase === "sending";
  }

  end(): void {
    this.#ended = true;
    this.phase = "over";
  }

  async run(): Promise<void> {
    try {
      await this.#list();
      while (!this.#ended) {
        this.phase = "sending";
        await this.#sendWanted();
        // Somebody may ask for failed files again: their bytes are here as long as this page is.
        this.phase = "watching";
        await this.#untilWanted();
      }
    } catch (error) {
      if (!(error instanceof Over)) this.trouble = sentenceOf(error);
    }
    this.phase = "over";
  }

  async #list(): Promise<void> {
    const all = [...this.#files];
    for (let at = 0; at < all.length && !this.#ended; at += LISTED_AT_ONCE) {
      const some = all.slice(at, at + LISTED_AT_ONCE);
      const files = await Promise.all(
        some.map(async ([path, file]) => ({
          path,
          bytes: file.size,
          modified: file.lastModified / 1000,
          sha256: await hashOf(file),
        })),
      );
      await this.#patiently(() => api("POST", `${this.#path}/manifest`, { files }));
      this.listed = at + some.length;
    }
    await this.#patiently(() => api("POST", `${this.#path}/manifest/end`));
  }

  async #sendWanted(): Promise<void> {
    const wanted = await this.#patiently(() => allPages<Row>(`${this.#path}/files?state=waiting,sending&limit=1000`));
    const mine = wanted.filter(({ path }) => this.#files.has(path));
    this.missing = wanted.length - mine.length;
    const queue = portions(mine);
    const sendSome = async () => {
      for (let portion = queue.shift(); portion && !this.#ended; portion = queue.shift()) {
        await (portion.length === 1 && portion[0]!.bytes > SMALL_BYTES ? this.#sendLarge(portion[0]!) : this.#sendSmall(portion));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, sendSome));
  }

  async #sendSmall(portion: Wanted[]): Promise<void> {
    const header: { file: number; bytes: number }[] = [];
    const contents: ArrayBuffer[] = [];
    const failed: { file: number; reason: string }[] = [];
    for (const { file, path } of portion) {
      try {
        const content = await this.#files.get(path)!.arrayBuffer();
        header.push({ file, bytes: content.byteLength });
        contents.push(content);
      } catch (error) {
        failed.push({ file, reason: unreadable(error) });
      }
    }
    if (failed.length) await this.#giveUp(failed);
    if (header.length === 0) return;
    const body = new Blob([`${JSON.stringify({ files: header })}\n`, ...contents]);
    await this.#patiently(() => send("POST", `${this.#path}/batch`, body));
  }

  async #sendLarge({ file, path }: Wanted): Promise<void> {
    const content = this.#files.get(path)!;
    try {
      await content.slice(0, 1).arrayBuffer();
    } catch (error) {
      await this.#giveUp([{ file, reason: unreadable(error) }]);
      return;
    }
    try {
      const { machine } = await this.#patiently(() => api<{ machine: string }>("POST", `${this.#path}/files/${file}/upload`));
      await this.#patiently(() => send("PUT", `/api/uploads/${encodeURIComponent(machine)}/content`, content));
    } catch (error) {
      // Its machine tells the rest: it has its bytes already, or has refused them.
      if (!(error instanceof Problem) || !/^upload\.(not_receiving|empty|too_large)$/.test(error.code)) throw error;
    }
  }

  async #giveUp(files: { file: number; reason: string }[]): Promise<void> {
    await this.#patiently(() => api("POST", `${this.#path}/failed`, { files }));
  }

  async #untilWanted(): Promise<void> {
    while (!this.#ended) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      const { tally, state } = await this.#patiently(() =>
        api<{ state: string; tally: Record<string, number> }>("GET", this.#path),
      );
      if (state === "cancelled" || state === "cancelling") throw new Over();
      if (state !== "paused" && tally.waiting! > this.missing) return;
    }
  }

  /** Ask again while the server is away, restarts, or the import is paused. */
  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries += 1) {
      try {
        const answer = await ask();
        this.trouble = "";
        return answer;
      } catch (error) {
        if (this.#ended) throw new Over();
        if (!(error instanceof Problem)) throw error;
        if (error.code === "import.over") throw new Over();
        const waits = error.code === "import.paused" || error.code === "upload.busy";
        if (!error.temporary && !waits) throw error;
        this.trouble = waits ? "" : sentenceOf(error);
        await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)]));
      }
    }
  }
}

class FolderSendings {
  /** By import. */
  readonly all = new SvelteMap<string, FolderSending>();

  /** Begin to import a folder; returns the import's machine. */
  async begin(caseId: string, folder: Folder): Promise<string> {
    const path = `/api/cases/${encodeURIComponent(caseId)}/imports`;
    const { machine } = await api<{ machine: string }>("POST", path, { title: folder.title.slice(0, 300) });
    this.resume(caseId, machine, folder);
    return machine;
  }

  /** Send what is missing of an import from the folder, chosen again. */
  resume(caseId: string, machine: string, folder: Folder): void {
    this.all.get(machine)?.end();
    const sending = new FolderSending(caseId, machine, folder);
    this.all.set(machine, sending);
    void sending.run();
  }
}

export const folderSendings = new FolderSendings();

window.addEventListener("beforeunload", (event) => {
  if ([...folderSendings.all.values()].some(({ busy }) => busy)) event.preventDefault();
});

/** SHA-256 of a small file, so that what the case holds is not sent; empty where that is not cheap. */
async function hashOf(file: File): Promise<string> {
  // Only pages served securely, or from this machine, may compute hashes.
  if (file.size === 0 || file.size > HASHED_BYTES || !globalThis.crypto?.subtle) return "";
  try {
    const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  } catch {
    return ""; // it is told of when it is its turn to be sent
  }
}

function unreadable(error: unknown): string {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotFoundError") return "the file is not there any more";
  return "the file cannot be read, or has changed since the folder was chosen";
}

async function send(method: "POST" | "PUT", path: string, body: Blob): Promise<void> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: { "X-CSRF-Token": credentials.csrf, "Content-Type": "application/octet-stream" },
      body,
    });
  } catch {
    throw new Problem(0, "network", "The connection broke while sending.", true);
  }
  if (response.ok) return;
  if (response.status === 401) credentials.onExpired();
  throw problemOf(response.status, await response.text());
}
