/** Which viewer shows a kind of file, and by which icon and words it is known. */

import type { IconName } from "../components/Icon.svelte";

export type Viewer = "pdf" | "picture" | "recording" | "table" | "text";

/** Pictures that every browser shows; others are drawn by the server. */
const SHOWN = new Set(["image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/webp"]);
/** Pictures that the server draws. */
const DRAWN = new Set([...SHOWN, "image/heic", "image/heif", "image/tiff"]);

const TABLES = /spreadsheet|ms-excel|^text\/(csv|tab-separated-values)$/;

export function viewerOf(mediaType: string): Viewer {
  if (mediaType === "application/pdf") return "pdf";
  if (DRAWN.has(mediaType)) return "picture";
  if (/^(audio|video)\//.test(mediaType)) return "recording";
  return TABLES.test(mediaType) ? "table" : "text";
}

export function isShownByBrowsers(mediaType: string): boolean {
  return SHOWN.has(mediaType);
}

/** Whether the server has a small picture of such a file; it has none of a PDF that could not be read. */
export function hasThumbnail(mediaType: string, meta: Record<string, unknown> | undefined, pages = 0): boolean {
  const stills = meta?.["derived"];
  return (mediaType === "application/pdf" && pages > 0) || DRAWN.has(mediaType) || (Array.isArray(stills) && stills.length > 0);
}

const WORDS: Record<string, string> = {
  "application/pdf": "PDF",
  "application/rtf": "Rich text",
  "application/vnd.ms-outlook": "Outlook message",
  "application/vnd.ms-outlook-pst": "Outlook mailbox",
  "application/mbox": "Mailbox",
  "message/rfc822": "E-mail",
  "text/csv": "Table (CSV)",
  "text/html": "Web page",
  "text/markdown": "Markdown",
  "text/plain": "Plain text",
  "text/tab-separated-values": "Table (TSV)",
};

/** A media type in words, where it has better ones than its own. */
export function kindInWords(mediaType: string): string {
  const known = WORDS[mediaType];
  if (known) return known;
  if (TABLES.test(mediaType)) return "Spreadsheet";
  if (/presentation|powerpoint/.test(mediaType)) return "Presentation";
  if (/wordprocessing|msword|opendocument\.text/.test(mediaType)) return "Word document";
  const [family = "", form = ""] = mediaType.split("/");
  const short = form.replace(/^(x-|vnd\.)|-compressed$/g, "").toUpperCase();
  if (family === "image") return `Picture (${short})`;
  if (family === "audio") return `Sound (${short})`;
  if (family === "video") return `Video (${short})`;
  return iconOf(mediaType) === "archive" ? `Archive (${short})` : mediaType;
}

export function iconOf(mediaType: string): IconName {
  if (/^message\/|outlook|mbox|pst$/.test(mediaType)) return "mail";
  if (mediaType.startsWith("image/")) return "picture";
  if (mediaType.startsWith("audio/")) return "sound";
  if (mediaType.startsWith("video/")) return "film";
  if (TABLES.test(mediaType)) return "table";
  if (/zip|tar|7z|rar|compressed|bzip|gzip|xz$/.test(mediaType)) return "archive";
  return "file";
}
