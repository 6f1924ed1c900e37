/**
 * Files on their way from this browser, by the tus protocol: a few connections at a time, paused and
 * resumed, also after a reload when the same file is chosen again.
 */

import type { DetailedError, PreviousUpload } from "tus-js-client";
import { SvelteMap } from "svelte/reactivity";
import { topics } from "./connection.svelte";
import { api, credentials, problemOf, Problem, sentenceOf } from "./http";
import { sendDirect } from "./direct";
import { readRoom, unfit } from "./quotas";
import { seen, type Seen } from "./speed";
import { inState } from "./topics.svelte";
import { newId } from "./wire";

export interface Transfer {
  key: string;
  caseId: string;
  file: File;
  /** The upload machine; empty until the server has made it. */
  machine: string;
  sent: number;
  /** What was sent when, by which its speed is told. */
  samples: Seen[];
  status: "waiting" | "sending" | "paused" | "failed";
  reason: string;
}

/** A browser opens six connections to a server; two are left to everything else on the page. */
const CONNECTIONS = 4;
const BIG_BYTES = 256 * 2 ** 20;
/** Of a big file, sent side by side: one connection alone rarely fills a long line. */
const PARTS = 3;
/** So much goes with the creation: until its answer one does not know where to go on. */
const AT_ONCE_BYTES = 4 * 2 ** 20;
/** Resets whenever something has got through. */
const PAUSES_MS = [0, 1000, 2000, 4000, 8000, 15_000, 30_000, 30_000];
const ENDED = [404, 410];

/** What can be stopped: a tus upload, or one straight to the store. */
interface Sending {
  abort(): unknown;
}

/** `direct`: its bytes go straight to the store behind the server. */
interface Announced {
  machine: string;
  direct: boolean;
}

class Transfers {
  /** By key: everything that is not wholly sent. */
  readonly all = new SvelteMap<string, Transfer>();
  readonly #uploads = new Map<string, Sending>();

  /** Send files; those that do not fit are told of, and are not sent. */
  async add(caseId: string, files: Iterable<File>): Promise<void> {
    const chosen = [...files]; // a picker's list empties itself
    // Where the room cannot be read, the server says of each file whether it fits.
    const room = await readRoom(caseId).catch(() => undefined);
    let before = 0;
    for (const one of this.all.values()) if (one.status === "waiting") before += one.file.size;
    for (const file of chosen) {
      const reason = room ? unfit(room, file.size, before) : "";
      if (!reason) before += file.size;
      this.#put(caseId, "", file, reason);
    }
    this.#next();
  }

  /** Send the bytes of a machine that waits for them: the rest, if this browser has sent the beginning. */
  resume(caseId: string, machine: string, file: File): void {
    this.#put(caseId, machine, file);
    this.#next();
  }

  ofMachine(machine: string): Transfer | undefined {
    for (const transfer of this.all.values()) if (transfer.machine === machine) return transfer;
    return undefined;
  }

  /** Stop sending for now; what was sent stays on the server for a day. */
  pause(key: string): void {
    if (!this.all.has(key)) return;
    this.#change(key, { status: "paused", reason: "", samples: [] });
    this.#stop(key);
    this.#next();
  }

  /** Stop sending and forget the file; its machine is cancelled by its own event. */
  drop(key: string): void {
    this.all.delete(key);
    this.#stop(key);
    this.#next();
  }

  /** Go on with what was paused or has failed; what was never announced may not fit. */
  async retry(key: string): Promise<void> {
    const transfer = this.all.get(key);
    if (!transfer) return;
    const room = transfer.machine ? undefined : await readRoom(transfer.caseId).catch(() => undefined);
    const reason = room ? unfit(room, transfer.file.size) : "";
    this.#change(key, { status: reason ? "failed" : "waiting", reason });
    this.#next();
  }

  #put(caseId: string, machine: string, file: File, reason = ""): void {
    const key = newId();
    const status = reason ? "failed" : "waiting";
    this.all.set(key, { key, caseId, file, machine, sent: 0, samples: [], status, reason });
  }

  #stop(key: string): void {
    void this.#uploads.get(key)?.abort();
    this.#uploads.delete(key);
  }

  #change(key: string, fields: Partial<Transfer>): void {
    const transfer = this.all.get(key);
    if (transfer) this.all.set(key, { ...transfer, ...fields });
  }

  #next(): void {
    const all = [...this.all.values()];
    let free = CONNECTIONS;
    for (const { status, file } of all) if (status === "sending") free -= connections(file);
    for (const { key, status, file } of all) {
      if (status !== "waiting") continue;
      // In their order: a big file is not passed by small ones for ever.
      if (connections(file) > free) return;
      free -= connections(file);
      this.#change(key, { status: "sending" });
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    const { caseId, file, machine } = this.all.get(key)!;
    try {
      const { Upload, defaultOptions } = await import("tus-js-client");
      const fingerprint = ["casewire", caseId, pathOf(file), file.size, file.lastModified].join(" ");
      const known = await defaultOptions.urlStorage.findUploadsByFingerprint(fingerprint);
      const previous = known.findLast((one) => (machine ? one.metadata.machine === machine : isAwaited(one)));
      const awaited = machine || previous?.metadata.machine;
      const announced = awaited ? { machine: awaited, direct: !previous } : await announce(caseId, file, key);
      const target = announced.machine;
      this.#change(key, { machine: target });
      if (this.all.get(key)?.status !== "sending") return; // paused or dropped meanwhile
      // Of a file taken up again the server says, by refusing, that files go through it.
      if (announced.direct && file.size && (await this.#direct(key, target, file))) return;
      const upload = new Upload(file, {
        endpoint: `${location.origin}/api/cases/${encodeURIComponent(caseId)}/tus`,
        fingerprint: () => Promise.resolve(fingerprint),
        metadata: { filename: pathOf(file), filetype: file.type, machine: target },
        metadataForPartialUploads: { machine: target },
        parallelUploads: connections(file),
        uploadDataDuringCreation: file.size <= AT_ONCE_BYTES,
        removeFingerprintOnSuccess: true,
        retryDelays: PAUSES_MS,
        onBeforeRequest: (request) => request.setHeader("X-CSRF-Token", credentials.csrf),
        onShouldRetry: (error) => mayHelp(problemIn(error)),
        onProgress: (sent) => this.#note(key, upload, sent),
        onError: (error) => this.#fail(key, upload, error),
        onSuccess: () => this.#done(key, upload),
      });
      if (previous) upload.resumeFromPreviousUpload(previous);
      this.#uploads.set(key, upload);
      upload.start();
    } catch (error) {
      this.#change(key, { status: "failed", reason: sentenceOf(error) });
      this.#next();
    }
  }

  /** Send a file straight to the store; false where files go through the server. */
  async #direct(key: string, machine: string, file: File): Promise<boolean> {
    const sending = new AbortController();
    this.#uploads.set(key, sending);
    try {
      await sendDirect(machine, file, sending.signal, (sent) => this.#note(key, sending, sent));
    } catch (error) {
      if (sending.signal.aborted) return true; // paused or dropped
      if (error instanceof Problem && error.status === 404) return false;
      throw error;
    }
    this.#done(key, sending);
    return true;
  }

  #note(key: string, upload: Sending, sent: number): void {
    const transfer = this.all.get(key);
    if (!transfer || this.#uploads.get(key) !== upload) return;
    this.#change(key, { sent, samples: seen(transfer.samples, performance.now() / 1000, sent) });
  }

  #fail(key: string, upload: Sending, error: Error | DetailedError): void {
    if (this.#uploads.get(key) !== upload) return;
    this.#stop(key); // its other parts, too
    const problem = problemIn(error);
    if (problem?.status === 401) credentials.onExpired();
    this.#change(key, { status: "failed", reason: sentenceOf(problem ?? error), samples: [] });
    this.#next();
  }

  #done(key: string, upload: Sending): void {
    if (this.#uploads.get(key) !== upload) return;
    this.#uploads.delete(key);
    this.all.delete(key);
    this.#next();
  }
}

export const transfers = new Transfers();

function connections(file: File): number {
  return file.size >= BIG_BYTES ? PARTS : 1;
}

/** The way to a file in the folder that was chosen, or its name. */
function pathOf(file: File): string {
  return file.webkitRelativePath || file.name;
}

/** Whether what was begun before belongs to an upload that still waits for its bytes. */
function isAwaited(previous: PreviousUpload): boolean {
  const machine = topics.machine(previous.metadata.machine ?? "");
  return machine !== undefined && inState(machine, "receiving", "paused");
}

async function announce(caseId: string, file: File, key: string): Promise<Announced> {
  const path = `/api/cases/${encodeURIComponent(caseId)}/uploads`;
  const body = { filename: pathOf(file), bytes: file.size };
  return api<Announced>("POST", path, body, { "Idempotency-Key": key });
}

/** What the server said was wrong; that it cannot be reached, where it said nothing. */
function problemIn(error: Error | DetailedError): Problem | undefined {
  if (!("originalRequest" in error)) return undefined;
  const response = error.originalResponse;
  if (!response) return new Problem(0, "network", "The connection broke while sending. What was sent is kept.", true);
  if (ENDED.includes(response.getStatus())) {
    return new Problem(response.getStatus(), "upload.gone", "This upload has ended on the server. Upload the file again.", false);
  }
  return problemOf(response.getStatus(), response.getBody());
}

function mayHelp(problem: Problem | undefined): boolean {
  return problem !== undefined && (problem.temporary || problem.code === "upload.offset" || problem.status === 423);
}
