// What is wrong with a page for whoever sees badly, uses no mouse, or holds a small screen: sentences.
() => {
  const faults = [];
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) faults.push(`the page is ${wide} px wider than the screen`);

  const dot = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (css) => {
    dot.clearRect(0, 0, 1, 1);
    dot.fillStyle = css;
    dot.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = dot.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, ground) => [0, 1, 2].map((i) => top[i] * top[3] + ground[i] * (1 - top[3])).concat(1);
  // Relative luminance and contrast ratio as WCAG 2.2 defines them.
  const luminance = (c) =>
    c.slice(0, 3).reduce((sum, value, i) => {
      const v = value / 255;
      return sum + [0.2126, 0.7152, 0.0722][i] * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    }, 0);
  const ancestors = (element) => {
    const all = [];
    for (let e = element; e; e = e.parentElement) all.push(e);
    return all;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const said = texts.currentNode.data.trim();
    const style = getComputedStyle(element);
    const lineage = ancestors(element);
    const opacity = lineage.reduce((product, e) => product * Number(getComputedStyle(e).opacity), 1);
    // What cannot be used just now, or is there for screen readers alone, may be faint.
    const exempt = !said || opacity === 0 || style.visibility !== "visible" || !element.getClientRects().length;
    if (exempt || element.closest(":disabled, .said")) continue;
    const ground = lineage.map((e) => colour(getComputedStyle(e).backgroundColor)).reduceRight((below, c) => over(c, below), [255, 255, 255, 1]);
    const ink = colour(style.color);
    const shown = over([...ink.slice(0, 3), ink[3] * opacity], ground);
    const [high, low] = [luminance(shown), luminance(ground)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faults.push(`“${said.slice(0, 40)}” has a contrast of ${ratio.toFixed(2)}`);
  }

  for (const control of document.querySelectorAll("a[href], button, input, select, textarea, [role=button]")) {
    if (!control.getClientRects().length) continue;
    const labelled = control.getAttribute("aria-labelledby") || control.labels?.length;
    const named = control.ariaLabel?.trim() || control.textContent.trim() || control.title || control.placeholder;
    if (!labelled && !named && !control.querySelector("img[alt]:not([alt='']), [aria-label]"))
      faults.push(`a control has no name: ${control.outerHTML.slice(0, 120)}`);
  }
  return faults;
}
