/** Colours of lines: told apart by those who see few colours too, on a light and on a dark ground. */
const LIGHT = ["#4d40ce", "#d9480f", "#087f5b", "#c2255c", "#1971c2", "#7a5900", "#862e9c", "#495057"];
const DARK = ["#9087df", "#ff922b", "#38d9a9", "#faa2c1", "#74c0fc", "#ffd43b", "#da77f2", "#ced4da"];

export type Look = "light" | "dark";

export function lineColor(index: number, look: Look): string {
  const colors = look === "dark" ? DARK : LIGHT;
  return colors[index % colors.length] as string;
}
