/** What the user has been told: notifications that came while the page is open are shown as toasts. */

import { can } from "./topics.svelte";
import { topics, wire } from "./connection.svelte";
import { session } from "./session.svelte";
import { sentenceOf } from "./http";
import { newId } from "./wire";
import type { Entry, Machine, NotificationContext } from "./types";

/** A sentence that only this page has to say, such as why an action was refused. */
export interface Remark {
  id: string;
  title: string;
  level: "info" | "warning";
}

const REMARK_MS = 8000;

class Notices {
  /** Ids of notification machines to show as toasts, oldest first. */
  fresh = $state<string[]>([]);
  remarks = $state<Remark[]>([]);
  /** For screen readers: said politely, once. */
  spoken = $state("");

  get topic(): string {
    return session.user ? `user:${session.user.id}` : "";
  }

  get all(): Machine<NotificationContext>[] {
    return topics
      .ofKind<NotificationContext>(this.topic, "notification")
      .sort((a, b) => b.context.created_at - a.context.created_at);
  }

  get unread(): Machine<NotificationContext>[] {
    return this.all.filter((machine) => !machine.configuration.includes("read"));
  }

  noteEntry(entry: Entry): void {
    if (entry.kind !== "notification" || entry.topic !== this.topic) return;
    const isNew = entry.from.length === 0 || entry.revision === 1;
    if (isNew && !this.fresh.includes(entry.machine)) this.fresh.push(entry.machine);
    if (entry.gone || entry.to.includes("read")) this.hide(entry.machine);
  }

  hide(id: string): void {
    this.fresh = this.fresh.filter((other) => other !== id);
    this.remarks = this.remarks.filter((remark) => remark.id !== id);
  }

  /** A toast's time is over, and that of those before it, which were never seen: the bell keeps them. */
  expire(id: string): void {
    this.fresh = this.fresh.slice(this.fresh.indexOf(id) + 1);
    this.hide(id);
  }

  markRead(id: string): void {
    this.hide(id);
    if (can(topics.machine(id), "mark_read")) void attempt(() => wire.send(id, "mark_read"));
  }

  remark(title: string, level: Remark["level"] = "info"): void {
    const id = newId();
    this.remarks.push({ id, title, level });
    setTimeout(() => this.hide(id), REMARK_MS);
  }

  say(sentence: string): void {
    this.spoken = sentence;
  }
}

export const notices = new Notices();
topics.watch((entry) => notices.noteEntry(entry));

/** Do something for the user; tell its failure in the server's words. Returns whether it went well. */
export async function attempt(action: () => Promise<unknown>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    notices.remark(sentenceOf(error), "warning");
    return false;
  }
}

/** Send an event to a machine on the user's behalf. */
export function tell(machine: string, event: string, data: object = {}): Promise<boolean> {
  return attempt(() => wire.send(machine, event, data));
}
