import { describe, expect, it } from "vitest";
import { coordinates, findingsOf, runs, wallTime } from "./meta";
import { sheetsOf } from "./tables";
import { clock, lineAt, linesOf } from "./transcript";
import { hasThumbnail, viewerOf } from "./kinds";

describe("what reading a file brought to light", () => {
  it("is empty where there is nothing", () => {
    const found = findingsOf({});
    expect([found.notice, found.recognised.size, found.redactions, found.stills, found.place]).toEqual(["", 0, [], [], undefined]);
  });

  it("tells the confidence of each recognised page and the moment of each still", () => {
    const found = findingsOf({
      ocr: { pages: [2, 3], confidence: { "3": 0.91 }, language: "eng" },
      derived: [
        { name: "still-01.02.03.500.jpg", media_type: "image/jpeg" },
        { name: "cover.png", media_type: "image/png" },
        { name: "notes.html", media_type: "text/html" },
      ],
    });
    expect([...found.recognised]).toEqual([[2, 0], [3, 0.91]]);
    expect(found.stills).toEqual([
      { name: "still-01.02.03.500.jpg", at: 3723.5 },
      { name: "cover.png", at: undefined },
    ]);
  });

  it("writes places and pages as people do", () => {
    expect(coordinates({ lat: -33.8568, lon: 151.2153 })).toBe("33.85680° S, 151.21530° E");
    expect(wallTime("2024-05-03T23:47:10+02:00")).toMatch(/3.*11:47.*\(UTC\+02:00\)/);
    expect(wallTime("2024-05-03T08:47:10")).toContain("time zone not told");
    expect(runs([7, 1, 2, 3, 9, 10])).toBe("1–3, 7, 9–10");
  });
});

describe("a transcript", () => {
  const text = "Title: A call\n\n[00:00:04] Good 😀 morning.\n[01:00:00] Good bye.";
  const lines = linesOf(text);

  it("knows what is said when, and where that stands in the text", () => {
    expect(lines.map(({ at, text }) => [at, text])).toEqual([
      [undefined, "Title: A call"],
      [4, "Good 😀 morning."],
      [3600, "Good bye."],
    ]);
    const characters = [...text];
    for (const { start, end, text } of lines) expect(characters.slice(start, end).join("")).toContain(text);
  });

  it("tells which line is being said", () => {
    expect([0, 4, 3599, 4000].map((at) => lineAt(lines, at))).toEqual([-1, 1, 1, 2]);
    expect([clock(83.9), clock(3723)]).toEqual(["01:23", "1:02:03"]);
  });
});

describe("a workbook", () => {
  const pages = ["Fees\nName | Sum\nAda | 12", "Fees\nName | Sum\n[hidden: Bo | 7]", "Notes\nNone 😀"];
  const text = pages.join("\n\n");
  const spans = pages.map((page, i): [number, number] => {
    const start = [...pages.slice(0, i).join("\n\n")].length + (i ? 2 : 0);
    return [start, start + [...page].length];
  });
  const sheets = sheetsOf(text, spans, ["Fees!A1:B2", "Fees!A3:B3", "Notes!A1:A1"]);

  it("is shown as sheets whose name and header stand once", () => {
    expect(sheets.map(({ name, rows }) => [name, rows.map(({ cells }) => cells)])).toEqual([
      ["Fees", [["Name", "Sum"], ["Ada", "12"], ["Bo", "7"]]],
      ["Notes", [["None 😀"]]],
    ]);
    expect(sheets[0]!.rows.map(({ hidden }) => hidden)).toEqual([false, false, true]);
  });

  it("knows where each row stands in the text", () => {
    const characters = [...text];
    for (const { rows } of sheets) {
      for (const { start, end, cells } of rows) expect(characters.slice(start, end).join("")).toContain(cells.join(" | "));
    }
  });
});

describe("a kind of file", () => {
  it("has the viewer that can show it", () => {
    const kinds = ["application/pdf", "image/heic", "image/svg+xml", "video/x-msvideo", "audio/mpeg", "text/csv", "text/html",
      "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"];
    expect(kinds.map(viewerOf)).toEqual(["pdf", "picture", "text", "recording", "recording", "table", "text", "table"]);
    expect(hasThumbnail("video/mp4", {})).toBe(false);
    expect(hasThumbnail("video/mp4", { derived: [{}] })).toBe(true);
  });
});
