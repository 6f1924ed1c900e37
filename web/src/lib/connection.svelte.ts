/** The one connection of this page: the wire feeding the topics, and its status to show. */

import { untrack } from "svelte";
import { api } from "./http";
import { session } from "./session.svelte";
import { Topics } from "./topics.svelte";
import { Wire, type WireStatus } from "./wire";
import type { Piece } from "./partial";

export const topics = new Topics();

class Connection {
  status = $state<WireStatus>("connecting");
}

export const connection = new Connection();

export const wire = new Wire({
  position: (topic) => topics.topic(topic)?.position,
  subscribed: (reply) => topics.subscribed(reply),
  entry: (entry) => topics.entry(entry),
  snapshot: (snapshot) => topics.snapshot(snapshot),
  passing: (message) => topics.passing(message),
  closed: (topic, reason) => topics.close(topic, reason),
  status: (status) => {
    connection.status = status;
  },
  refused: () => void session.check(),
});

topics.recovery = {
  recover: (topic) => wire.recover(topic),
  fetchPartial: (machine) => void fetchPartial(machine),
};

window.addEventListener("online", () => wire.hurry());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") wire.hurry();
});

/** Hold a topic until the returned function is called. An effect that holds depends on nothing by it. */
export function hold(topic: string): () => void {
  untrack(() => {
    topics.open(topic);
    wire.subscribe(topic);
  });
  return () =>
    untrack(() => {
      if (wire.unsubscribe(topic)) topics.drop(topic);
    });
}

const fetching = new Set<string>();

/** Take over what a running answer has come to so far. */
export async function fetchPartial(machine: string): Promise<void> {
  if (fetching.has(machine)) return;
  fetching.add(machine);
  try {
    const piece = await api<Piece | undefined>("GET", `/api/machines/${encodeURIComponent(machine)}/partial`);
    if (piece?.text) topics.addPiece(machine, { attempt: piece.attempt, position: 0, text: piece.text });
  } catch {
    // Nothing has been kept yet, or the answer is finished: its durable entry brings the text.
  } finally {
    fetching.delete(machine);
  }
}
