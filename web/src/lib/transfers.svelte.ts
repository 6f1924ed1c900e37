/** Files on their way from this browser: a few at a time, with progress, sent again when cut off. */

import { SvelteMap } from "svelte/reactivity";
import { api, credentials, problemOf, Problem, sentenceOf } from "./http";
import { sendDirect } from "./direct";
import { newId } from "./wire";

export interface Transfer {
  key: string;
  caseId: string;
  file: File;
  /** The upload machine; empty until the server has made it. */
  machine: string;
  /** Whether the bytes go straight to the store. */
  direct: boolean;
  sent: number;
  status: "waiting" | "sending" | "failed";
  reason: string;
}

const AT_ONCE = 3;
const TRIES = 4;

class Transfers {
  /** By key: everything that is not wholly sent. */
  readonly all = new SvelteMap<string, Transfer>();
  readonly #requests = new Map<string, { abort(): void }>();

  add(caseId: string, files: Iterable<File>): void {
    for (const file of files) {
      const key = newId();
      this.all.set(key, { key, caseId, file, machine: "", direct: false, sent: 0, status: "waiting", reason: "" });
    }
    this.#next();
  }

  /** Send the bytes of a machine that waits for them. */
  resume(caseId: string, machine: string, file: File): void {
    const key = newId();
    this.all.set(key, { key, caseId, file, machine, direct: true, sent: 0, status: "waiting", reason: "" });
    this.#next();
  }

  ofMachine(machine: string): Transfer | undefined {
    for (const transfer of this.all.values()) if (transfer.machine === machine) return transfer;
    return undefined;
  }

  /** Stop sending and forget the file; its machine is cancelled by its own event. */
  drop(key: string): void {
    this.all.delete(key);
    this.#requests.get(key)?.abort();
    this.#requests.delete(key);
    this.#next();
  }

  retry(key: string): void {
    this.#change(key, { status: "waiting", reason: "", sent: 0 });
    this.#next();
  }

  #change(key: string, fields: Partial<Transfer>): void {
    const transfer = this.all.get(key);
    if (transfer) this.all.set(key, { ...transfer, ...fields });
  }

  #next(): void {
    const all = [...this.all.values()];
    const free = AT_ONCE - all.filter((transfer) => transfer.status === "sending").length;
    for (const transfer of all.filter(({ status }) => status === "waiting").slice(0, Math.max(0, free))) {
      this.#change(transfer.key, { status: "sending" });
      void this.#run(transfer.key);
    }
  }

  async #run(key: string): Promise<void> {
    try {
      const { caseId, file, machine } = this.all.get(key)!;
      if (!machine) this.#change(key, await this.#announce(caseId, file));
      for (let attempt = 1; this.all.has(key); attempt += 1) {
        const problem = await this.#send(key);
        if (!problem) break;
        if (!problem.temporary || attempt === TRIES) throw problem;
        await new Promise((resolve) => setTimeout(resolve, 1000 * 2 ** attempt));
      }
      this.all.delete(key);
    } catch (error) {
      this.#change(key, { status: "failed", reason: sentenceOf(error) });
    }
    this.#requests.delete(key);
    this.#next();
  }

  /** One attempt, the way the server wants it, and what was wrong with it. */
  async #send(key: string): Promise<Problem | undefined> {
    const { direct, machine, file } = this.all.get(key)!;
    if (!direct || !file.size) return this.#put(key, machine, file);
    const controller = new AbortController();
    this.#requests.set(key, controller);
    try {
      await sendDirect(machine, file, controller.signal, (sent) => this.#change(key, { sent }));
      return undefined;
    } catch (error) {
      if (controller.signal.aborted) return undefined;
      if (!(error instanceof Problem)) throw error;
      if (error.status !== 404) return error;
      this.#change(key, { direct: false }); // a server without such a store: a file taken up again goes there
      return this.#put(key, machine, file);
    }
  }

  async #announce(caseId: string, file: File): Promise<{ machine: string; direct: boolean }> {
    const path = `/api/cases/${encodeURIComponent(caseId)}/uploads`;
    return api<{ machine: string; direct: boolean }>("POST", path, { filename: file.name, bytes: file.size });
  }

  /** One attempt, and what was wrong with it. */
  #put(key: string, machine: string, file: File): Promise<Problem | undefined> {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      this.#requests.set(key, request);
      request.open("PUT", `/api/uploads/${encodeURIComponent(machine)}/content`);
      request.setRequestHeader("X-CSRF-Token", credentials.csrf);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.onprogress = ({ loaded }) => this.#change(key, { sent: loaded });
      request.onload = () => resolve(request.status < 400 ? undefined : problemOf(request.status, request.responseText));
      request.onerror = () => resolve(new Problem(0, "network", "The connection broke while sending.", true));
      request.onabort = () => resolve(undefined);
      request.send(file);
    });
  }
}

export const transfers = new Transfers();

/** The files of a drop, folders opened. */
export async function filesOf(data: DataTransfer): Promise<File[]> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  if (entries.length === 0) return [...data.files];
  return (await Promise.all(entries.map(filesBelow))).flat();
}

async function filesBelow(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) return found;
    for (const child of batch) found.push(...(await filesBelow(child)));
  }
}
