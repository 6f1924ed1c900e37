/** Numbers, times and names in words. */

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = count / 1000;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

export function elapsed(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/** A time given as Unix seconds or as ISO text. */
export function toDate(time: number | string): Date {
  return typeof time === "number" ? new Date(time * 1000) : new Date(time);
}

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** What is no time at all is shown as it stands. */
function shown(format: Intl.DateTimeFormat, time: number | string): string {
  const date = toDate(time);
  return Number.isNaN(date.getTime()) ? String(time) : format.format(date);
}

export const day = (time: number | string): string => shown(DAY, time);
export const moment = (time: number | string): string => shown(MOMENT, time);
export const timeOfDay = (time: number | string): string => shown(TIME, time);

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

/** A state's id as words. */
export function words(id: string): string {
  return id.replaceAll("_", " ");
}

export const byName = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;
