/** The page's address, by the History API. */

class Router {
  path = $state(location.pathname);
  query = $state.raw(new URLSearchParams(location.search));

  go(url: string, { replace = false } = {}): void {
    if (replace) history.replaceState(null, "", url);
    else history.pushState(null, "", url);
    const samePage = this.path === location.pathname;
    this.read();
    if (!samePage) window.scrollTo(0, 0);
  }

  read(): void {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }

  /** The parameters of `/case/:id`-like patterns, or undefined. */
  match(pattern: string): Record<string, string> | undefined {
    const wanted = pattern.split("/");
    const given = this.path.replace(/(.)\/$/, "$1").split("/");
    if (wanted.length !== given.length) return undefined;
    const parameters: Record<string, string> = {};
    for (const [i, part] of wanted.entries()) {
      if (part.startsWith(":")) parameters[part.slice(1)] = decodeURIComponent(given[i]!);
      else if (part !== given[i]) return undefined;
    }
    return parameters;
  }
}

export const router = new Router();

window.addEventListener("popstate", () => router.read());

/** Ordinary clicks on links within the client change the page without loading it anew. */
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element).closest?.("a[href]") as HTMLAnchorElement | null;
  if (!link || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || link.pathname.startsWith("/api/")) return;
  if (link.hash && link.pathname === location.pathname) return;
  event.preventDefault();
  router.go(link.pathname + link.search);
});

export interface Spot {
  evidence: number;
  page?: number;
  start?: number;
  end?: number;
  node?: number;
  query?: string;
}

/** The address of a place in a case's evidence. */
export function evidenceUrl(caseId: string, spot: Spot): string {
  const search = new URLSearchParams();
  if (spot.end) {
    search.set("start", String(spot.start ?? 0));
    search.set("end", String(spot.end));
  }
  if (spot.page) search.set("page", String(spot.page));
  if (spot.node) search.set("node", String(spot.node));
  if (spot.query) search.set("query", spot.query);
  const query = search.size ? `?${search}` : "";
  return `/case/${encodeURIComponent(caseId)}/evidence/${spot.evidence}${query}`;
}

/** The address of a folder on its way into a case. */
export function importUrl(caseId: string, machine: string): string {
  return `/case/${encodeURIComponent(caseId)}/import/${encodeURIComponent(machine)}`;
}
