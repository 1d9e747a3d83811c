import classes from "./chart.module.css";

export interface TipRow {
  color: string;
  label: string;
  value: string;
  /** The value itself where `value` is a mean. */
  raw: string;
}

/** The box beside the pointer. Written by hand, for it changes with every move. */
export class Tip {
  private readonly box = document.createElement("div");
  private isShown = false;

  constructor(place: HTMLElement) {
    this.box.className = classes.tip as string;
    this.box.setAttribute("aria-hidden", "true");
    this.box.hidden = true;
    place.append(this.box);
  }

  show(left: number, top: number, width: number, title: string, rows: readonly TipRow[]): void {
    this.box.replaceChildren(line(title, classes.tipTitle as string), ...rows.map(rowOf));
    this.box.hidden = false;
    this.isShown = true;
    const isRight = left > width / 2;
    this.box.style.transform = `translate(${Math.round(left + (isRight ? -14 : 14))}px, ${Math.round(top)}px) translateX(${isRight ? "-100%" : "0"})`;
  }

  hide(): void {
    if (!this.isShown) return;
    this.box.hidden = true;
    this.isShown = false;
  }

  destroy(): void {
    this.box.remove();
  }
}

function rowOf(row: TipRow): HTMLElement {
  const box = document.createElement("div");
  box.className = classes.tipRow as string;
  const mark = document.createElement("span");
  mark.className = classes.swatch as string;
  mark.style.background = row.color;
  box.append(mark, line(row.label, classes.tipLabel as string), line(row.value, "numbers"));
  if (row.raw) box.append(line(row.raw, `numbers ${classes.tipRaw}`));
  return box;
}

function line(text: string, className: string): HTMLElement {
  const found = document.createElement("span");
  found.className = className;
  found.textContent = text;
  return found;
}
