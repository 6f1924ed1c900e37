/** Who is logged in. */

import { api, credentials } from "./http";
import type { User } from "./types";

interface SessionReply {
  user: User | null;
  csrf: string;
  registration: "open" | "closed";
}

class Session {
  user = $state.raw<User | null>(null);
  registration = $state<"open" | "closed">("closed");
  /** Whether the server has been asked at all. */
  known = $state(false);
  /** Why the server could not be asked. */
  trouble = $state("");

  async check(): Promise<void> {
    try {
      const reply = await api<SessionReply>("GET", "/api/session");
      credentials.csrf = reply.csrf;
      this.registration = reply.registration;
      this.#become(reply.user);
      this.known = true;
      this.trouble = "";
    } catch (error) {
      this.trouble = error instanceof Error ? error.message : String(error);
    }
  }

  async login(email: string, password: string): Promise<void> {
    await this.#enter("/api/login", { email, password });
  }

  async register(name: string, email: string, password: string): Promise<void> {
    await this.#enter("/api/register", { name, email, password });
  }

  async logout(): Promise<void> {
    await api("POST", "/api/logout");
    this.#become(null);
    await this.check();
  }

  async #enter(path: string, body: object): Promise<void> {
    const reply = await api<{ user: User; csrf: string }>("POST", path, body);
    credentials.csrf = reply.csrf;
    this.#become(reply.user);
  }

  /** The same person stays the same object, so that nothing that follows it begins anew. */
  #become(user: User | null): void {
    if (user?.id !== this.user?.id || user === null) this.user = user;
  }
}

export const session = new Session();
credentials.onExpired = () => void session.check();
