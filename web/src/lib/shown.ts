/** What stood first in an answer and was on screen for a while: the page says so once, nothing more. */

export const FIRST = 3;
export const SHOWN_AFTER_MS = 10_000;
const TICK_MS = 1_000;

/**
 * Counts how long each of some elements is on screen while the page is looked at; calls `told` once all of
 * them were for ten seconds. Returns how to stop.
 */
export function whenShown(elements: Element[], told: () => void): () => void {
  if (elements.length === 0) return () => undefined;
  const seen = new Map(elements.map((element) => [element, 0]));
  const here = new Set<Element>();
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) here.add(target);
      else here.delete(target);
    }
  }, { threshold: 0.5 });
  for (const element of elements) watcher.observe(element);
  const timer = setInterval(() => {
    if (document.visibilityState !== "visible") return;
    for (const element of here) seen.set(element, (seen.get(element) ?? 0) + TICK_MS);
    if ([...seen.values()].some((ms) => ms < SHOWN_AFTER_MS)) return;
    stop();
    told();
  }, TICK_MS);
  function stop(): void {
    clearInterval(timer);
    watcher.disconnect();
  }
  return stop;
}
