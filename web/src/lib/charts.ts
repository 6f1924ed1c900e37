/** DOT drawn as SVG in the browser. */

import DOMPurify from "dompurify";

type Renderer = { renderString(dot: string, options: { format: "svg" }): string };

let renderer: Promise<Renderer> | undefined;

/** Draw `dot`; Graphviz is loaded with the first drawing. */
export async function drawDot(dot: string): Promise<string> {
  renderer ??= import("@viz-js/viz").then((viz) => viz.instance());
  const svg = (await renderer).renderString(dot, { format: "svg" });
  return DOMPurify.sanitize(svg.slice(svg.indexOf("<svg")), { USE_PROFILES: { svg: true } });
}
