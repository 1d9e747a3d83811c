/** A value of a config in one line. */
export function valueText(value: unknown): string {
  if (value === null) return "none";
  if (value === true) return "on";
  if (value === false) return "off";
  if (typeof value === "string") return value === "" ? "empty" : value;
  if (typeof value === "number") return String(value);
  return JSON.stringify(value);
}
