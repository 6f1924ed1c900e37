/** Spans of time in few characters. */

/** Seconds as a developer reads them: 4 ms, 1.20 s, 3:07 min. */
export function span(seconds: number): string {
  if (seconds < 0.0005) return "0";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}:${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} h`;
  return `${(whole / 86_400).toFixed(1)} d`;
}

/** How long ago, in one word and number. */
export function ago(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 5) return "now";
  if (whole < 60) return `${whole} s ago`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ago`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ago`;
  return `${Math.floor(whole / 86_400)} d ago`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hour12: false,
});

/** The time of day to the millisecond. */
export const precise = (at: number): string => CLOCK.format(new Date(at * 1000));

/** Whether a value of a context is a time in Unix seconds, by its key and size. */
export function isMoment(name: string, value: unknown): boolean {
  return typeof value === "number" && value > 1e9 && (/^(since|ended|at)$/.test(name) || name.endsWith("_at"));
}
