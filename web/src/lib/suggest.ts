/** What could be asked in a case: questions and names that fit what is being typed. */

export interface Suggestion {
  text: string;
  why: "asked" | "name" | "people" | "topic";
}

export interface Meant {
  /** As the question was probably meant; empty where nothing in it is amiss. */
  question: string;
  slips: { written: string; start: number; end: number; meant: string[] }[];
}

const WORD = /[\p{L}\p{N}]+/gu;

function wordsOf(text: string): string[] {
  return [...plain(text).matchAll(WORD)].map(([word]) => word);
}

/** Without case and accents, so that “zoe” finds “Zoë”. */
function plain(text: string): string {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** Whether every word that was typed begins another word of the text. */
function begins(text: string, typed: string[]): boolean {
  const words = wordsOf(text);
  return typed.every((one) => {
    const at = words.findIndex((word) => word.startsWith(one));
    if (at >= 0) words.splice(at, 1);
    return at >= 0;
  });
}

/** The last one or two words that were typed, as far as they may begin a name. */
function endings(typed: string): string[] {
  if (!/[\p{L}\p{N}]$/u.test(typed)) return [];
  const starts = [...typed.matchAll(WORD)].map(({ index }) => index);
  return starts.slice(-2).map((at) => typed.slice(at));
}

/** What the question becomes when a suggestion is taken; null where it does not fit what was typed. */
export function completed(typed: string, one: Suggestion): string | null {
  if (one.why !== "name") return begins(one.text, wordsOf(typed)) && plain(typed).trim() !== plain(one.text) ? one.text : null;
  if (plain(typed).endsWith(plain(one.text))) return null;
  for (const ending of endings(typed)) {
    const fits = ending.length > 1 && begins(one.text, wordsOf(ending));
    if (fits) return typed.slice(0, typed.length - ending.length) + one.text;
  }
  return null;
}

/** The suggestions that fit, each with the question it makes, in their order; questions alone where nothing is typed. */
export function fitting(all: Suggestion[], typed: string, most: number): { one: Suggestion; question: string }[] {
  if (!typed.trim()) return all.filter(({ why }) => why !== "name").slice(0, most).map((one) => ({ one, question: one.text }));
  if (wordsOf(typed).join("").length < 2) return [];
  return all
    .map((one) => ({ one, question: completed(typed, one) }))
    .filter((each): each is { one: Suggestion; question: string } => each.question !== null)
    .slice(0, most);
}
