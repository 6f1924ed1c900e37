import { describe, expect, it } from "vitest";
import { coordinates, findingsOf, languages, runs, wallTime } from "./meta";
import { placeName, sheetsOf } from "./tables";
import { clock, lineAt, linesOf } from "./transcript";
import { hasThumbnail, kindInWords, viewerOf } from "./kinds";

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
    expect(languages("eng+deu+chi_sim")).toBe("English and German and chi_sim");
    expect(runs([7, 1, 2, 3, 9, 10])).toBe("1–3, 7, 9–10");
  });
});

describe("a time that a file tells", () => {
  const zones = (times: string[]) => times.map((time) => /\((.*)\)$/.exec(wallTime(time))?.[1]);

  it("names its zone in one way", () => {
    const stem = "2010-06-18T09:54:19";
    expect(zones([`${stem}Z`, `${stem}+00:00`, `${stem}+1000`, `${stem}+10`, `${stem}.125-03:30`, "2010-06-18 09:54"])).toEqual([
      "UTC", "UTC", "UTC+10:00", "UTC+10:00", "UTC−03:30", "time zone not told",
    ]);
  });

  it("is left as it stands where no calendar has it", () => {
    const odd = ["0000-00-00T00:00:00", "2024-02-31T10:00:00", "2024-13-01T10:00", "2024-05-03T25:10:00", "2010:06:18 09:54:19", "soon", ""];
    expect(odd.map(wallTime)).toEqual(odd);
  });

  it("may be a day alone", () => {
    expect(wallTime("2015-08-16")).toMatch(/^\D*16\D*2015$|^Aug 16, 2015$/);
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

  it("has cells that hold bars, and first cells that hold nothing", () => {
    const lines = ["a | b", "x\u202f|\u202fy | z", "| second", "|  | third", "|\u202f | y"];
    const found = sheetsOf(lines.join("\n"), [], ["Odd!A1:C5"])[0]!.rows.map(({ cells }) => cells);
    expect(found).toEqual([["a", "b"], ["x\u202f|\u202fy", "z"], ["", "second"], ["", "", "third"], ["|\u202f", "y"]]);
  });

  it("calls its parts by their places", () => {
    expect([placeName(["Fees!A1:C4", "A1:B2"], 1), placeName(["Fees!A1:C4", "A1:B2"], 2), placeName([], 3)]).toEqual([
      "Fees, A1:C4", "A1:B2", "page 3",
    ]);
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
    expect([hasThumbnail("application/pdf", {}, 3), hasThumbnail("application/pdf", {}, 0)]).toEqual([true, false]);
    expect(["application/pdf", "image/heic", "application/x-7z-compressed", kinds.at(-1)!, "application/x-odd"].map(kindInWords)).toEqual([
      "PDF", "Picture (HEIC)", "Archive (7Z)", "Spreadsheet", "application/x-odd",
    ]);
    expect(hasThumbnail("video/mp4", {})).toBe(false);
    expect(hasThumbnail("video/mp4", { derived: [{}] })).toBe(true);
  });
});
