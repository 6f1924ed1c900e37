/** A PDF opened by PDF.js: the size of each page, and pages drawn on demand. */

import * as pdfjs from "pdfjs-dist";
import { sentenceOf } from "./http";
import workerUrl from "pdfjs-dist/build/pdf.worker.min.mjs?url";

pdfjs.GlobalWorkerOptions.workerSrc = workerUrl;

/** In points. */
export interface Size {
  width: number;
  height: number;
}

export interface Pdf {
  sizes: Size[];
  /** Draw a page and lay its words over it; `ended` hears what went wrong, or "". Returns how to stop and forget it. */
  draw(number: number, scale: number, canvas: HTMLCanvasElement, words: HTMLElement, ended: (trouble: string) => void): () => void;
  close(): Promise<void>;
}

/** Named by version, since the server has browsers keep assets for ever. */
const TABLES = `${import.meta.env.BASE_URL}assets/pdf-${pdfjs.version}`;
/** Canvases beyond this many pixels are refused by some phones. */
const MOST_PIXELS = 16_000_000;

/** Open the PDF at `url`, reading by ranges. Throws what PDF.js says is wrong with it. */
export async function openPdf(url: string): Promise<Pdf> {
  const task = pdfjs.getDocument({
    url,
    cMapUrl: `${TABLES}/cmaps/`,
    standardFontDataUrl: `${TABLES}/standard_fonts/`,
    wasmUrl: `${TABLES}/wasm/`,
    enableXfa: false,
  });
  const document = await task.promise;
  return {
    sizes: await sizesOf(document),
    draw: (...given) => draw(document, ...given),
    close: () => task.destroy(),
  };
}

async function sizesOf(document: pdfjs.PDFDocumentProxy): Promise<Size[]> {
  const sizes: Size[] = [];
  for (let number = 1; number <= document.numPages; number += 1) {
    const { width, height } = (await document.getPage(number)).getViewport({ scale: 1 });
    sizes.push({ width, height });
  }
  return sizes;
}

function draw(
  document: pdfjs.PDFDocumentProxy,
  number: number,
  scale: number,
  canvas: HTMLCanvasElement,
  words: HTMLElement,
  ended: (trouble: string) => void,
): () => void {
  let stopped = false;
  let stop = () => {};
  const run = async () => {
    const page = await document.getPage(number);
    if (stopped) return;
    const viewport = page.getViewport({ scale });
    const wanted = Math.min(window.devicePixelRatio || 1, 2);
    const sharpness = Math.min(wanted, Math.sqrt(MOST_PIXELS / (viewport.width * viewport.height)));
    canvas.width = Math.floor(viewport.width * sharpness);
    canvas.height = Math.floor(viewport.height * sharpness);
    const picture = page.render({ canvas, viewport, transform: [sharpness, 0, 0, sharpness, 0, 0] });
    const layer = new pdfjs.TextLayer({ textContentSource: page.streamTextContent(), container: words, viewport });
    stop = () => {
      picture.cancel();
      layer.cancel();
      page.cleanup();
    };
    await Promise.all([picture.promise, layer.render()]);
  };
  run().then(
    () => stopped || ended(""),
    (error: unknown) => stopped || ended(sentenceOf(error)),
  );
  return () => {
    stopped = true;
    stop();
  };
}
