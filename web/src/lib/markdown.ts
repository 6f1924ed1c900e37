/** Generated Markdown as safe HTML: what a model writes may hold formatting, and nothing else. */

import DOMPurify from "dompurify";
import { Marked } from "marked";

const marked = new Marked({ gfm: true, breaks: false });

const ALLOWED_TAGS = [
  "p", "br", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "h1", "h2", "h3", "h4",
  "table", "thead", "tbody", "tr", "th", "td", "hr",
]; // prettier-ignore

/** One sentence of it, without a paragraph of its own. */
export function safeInline(markdown: string): string {
  const html = marked.parseInline(markdown, { async: false });
  return DOMPurify.sanitize(html, { ALLOWED_TAGS, ALLOWED_ATTR: [] });
}

/** No links, images or attributes: an answer's only way out is its citations. */
export function safeHtml(markdown: string): string {
  const html = marked.parse(markdown, { async: false });
  return DOMPurify.sanitize(html, { ALLOWED_TAGS, ALLOWED_ATTR: [] });
}
