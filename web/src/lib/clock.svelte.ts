/** The server's time, ticking once a second while a component looks. */

import { createSubscriber } from "svelte/reactivity";

class Clock {
  readonly #tick = createSubscriber((update) => {
    const timer = setInterval(update, 1000);
    return () => clearInterval(timer);
  });
  /** Seconds that this device's clock is ahead of the server's. */
  #ahead: number | undefined;

  /** Unix seconds by the server's clock, as far as its messages tell. */
  get now(): number {
    this.#tick();
    return Date.now() / 1000 - (this.#ahead ?? 0);
  }

  /** Something that happened at `at` has just been heard of; delay only ever adds to the difference. */
  heardAt(at: number): void {
    const difference = Date.now() / 1000 - at;
    this.#ahead = this.#ahead === undefined ? difference : Math.min(this.#ahead, difference);
  }
}

export const clock = new Clock();
