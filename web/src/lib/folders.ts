/** Folders as a browser gives them, and how their files are put together for sending. */

export interface FolderFile {
  /** Within the folder, with `/` between its parts. */
  path: string;
  file: File;
}

export interface Folder {
  title: string;
  files: FolderFile[];
}

/** A file that the server wants, as it tells it. */
export interface Wanted {
  file: number;
  path: string;
  bytes: number;
}

export const SMALL_BYTES = 1 << 20;
const BATCH_BYTES = 4 << 20;
const BATCH_FILES = 200;

/** What was chosen in a folder dialog: its name, and the paths below it. */
export function chosenFolder(files: Iterable<File>): Folder | undefined {
  const found: FolderFile[] = [];
  let title = "";
  for (const file of files) {
    const [first, ...rest] = file.webkitRelativePath.split("/");
    title ||= first ?? "";
    found.push({ path: rest.join("/") || file.name, file });
  }
  return found.length ? { title: title || "Folder", files: sorted(found) } : undefined;
}

/** What was dropped: folders with all that is in them, and files by themselves. */
export async function dropped(data: DataTransfer): Promise<{ folders: Folder[]; files: File[] }> {
  // Both must be asked for before anything is awaited: a drop's data lasts no longer.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry());
  const plain = [...data.files];
  if (entries.every((entry) => entry === null)) return { folders: [], files: plain };
  const folders: Folder[] = [];
  const files: File[] = [];
  for (const entry of entries) {
    if (entry?.isDirectory) {
      const found: FolderFile[] = [];
      await gather(entry as FileSystemDirectoryEntry, "", found);
      folders.push({ title: entry.name, files: sorted(found) });
    } else if (entry?.isFile) {
      files.push(await fileOf(entry as FileSystemFileEntry));
    }
  }
  return { folders, files };
}

async function gather(folder: FileSystemDirectoryEntry, above: string, found: FolderFile[]): Promise<void> {
  const reader = folder.createReader();
  for (;;) {
    // A hundred at a time, until none is left.
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) return;
    for (const entry of batch) {
      const path = above + entry.name;
      if (entry.isDirectory) await gather(entry as FileSystemDirectoryEntry, `${path}/`, found);
      else found.push({ path, file: await fileOf(entry as FileSystemFileEntry) });
    }
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

function sorted(files: FolderFile[]): FolderFile[] {
  return files.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** Files in the portions in which they are sent: a large one alone, small ones together. */
export function portions<F extends Pick<Wanted, "bytes">>(wanted: F[]): F[][] {
  const found: F[][] = [];
  let small: F[] = [];
  let held = 0;
  for (const file of wanted) {
    if (file.bytes > SMALL_BYTES) {
      found.push([file]);
      continue;
    }
    small.push(file);
    held += file.bytes;
    if (held >= BATCH_BYTES || small.length >= BATCH_FILES) {
      found.push(small);
      small = [];
      held = 0;
    }
  }
  if (small.length) found.push(small);
  return found;
}

/** A length of time in rough words, as estimates are told. */
export function roughly(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(seconds < 36000 ? 1 : 0)} h`;
}

/** The points of a line through values, for a drawing so wide and high; the newest is at the right. */
export function linePoints(values: number[], width: number, height: number): string {
  const most = Math.max(...values, Number.MIN_VALUE);
  const step = width / Math.max(1, values.length - 1);
  return values.map((value, i) => `${(i * step).toFixed(1)},${(height - (value / most) * height).toFixed(1)}`).join(" ");
}
