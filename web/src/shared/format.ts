/** Numbers for people. What is not known is a dash, never a zero. */

const DASH = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value: number | null | undefined): string {
  return value == null || !Number.isFinite(value) ? DASH : whole.format(value);
}

/** Bytes as disks and files are told: 1 GB is a thousand million. */
export function bytes(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return DASH;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let left = value;
  while (left >= 999.5 && unit < units.length - 1) {
    left /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || left >= 99.5 ? 0 : 1;
  return `${left.toFixed(digits)} ${units[unit]}`;
}

/** Memory as cards are sold: 1 GiB is 2^30, and people call it GB. */
export function memory(value: number | null | undefined): string {
  return value == null || !Number.isFinite(value) ? DASH : `${(value / 2 ** 30).toFixed(1)} GB`;
}

/** 40 s, 12 min, 1 h 05 min, 3 d 4 h. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return DASH;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A rate or a loss: three significant digits, in powers of ten where it is very small. */
export function significant(value: number | null | undefined, digits = 3): string {
  if (value == null || !Number.isFinite(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e6 ? value.toExponential(digits - 1).replace("e-", "e−") : value.toPrecision(digits);
}

/** How long ago, in words; `now` in milliseconds. */
export function ago(time: string | null | undefined, now: number = Date.now()): string {
  if (!time) return DASH;
  const seconds = (now - Date.parse(time)) / 1000;
  if (!Number.isFinite(seconds)) return DASH;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
  if (seconds < 30 * 86_400) return `${Math.round(seconds / 86_400)} d ago`;
  return new Date(time).toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric" });
}

/** "1 picture", "3 pictures". */
export function plural(number: number, one: string, many: string = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}
