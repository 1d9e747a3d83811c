import { TextInput } from "@mantine/core";
import { type KeyboardEvent, useState } from "react";
import type { WidgetProps } from "../context";
import { number, parsed } from "../words";

/** A number as people type it (1e-4), or a word that may stand there. Anything else is kept and called a mistake. */
export function NumberWidget(props: WidgetProps) {
  const { spec, value, set } = props;
  const [typed, setTyped] = useState<string | null>(null);
  const said = value === null || value === undefined ? "" : typeof value === "number" ? number(value) : String(value);
  const take = (text: string) => {
    setTyped(text);
    if (text.trim() !== "") set(spec.words.includes(text.trim()) ? text.trim() : parsed(text));
    else set(spec.nullable && spec.usual !== null ? null : undefined);
  };
  const step = (event: KeyboardEvent<HTMLInputElement>) => {
    const way = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
    if (way === 0 || typeof value !== "number") return;
    event.preventDefault();
    const next = stepped(value, way, spec.isWhole, event.shiftKey);
    const { minimum = -Infinity, maximum = Infinity } = spec;
    const held = Math.min(maximum, Math.max(minimum, next));
    setTyped(number(held));
    set(held);
  };
  return (
    <TextInput
      id={props.id}
      value={typed ?? said}
      onChange={(event) => take(event.currentTarget.value)}
      onBlur={() => setTyped(null)}
      onKeyDown={step}
      inputMode={spec.words.length > 0 || spec.minimum === undefined ? "text" : spec.isWhole ? "numeric" : "decimal"}
      placeholder={placeholderOf(props)}
      error={props.hasError}
      aria-describedby={props.describedBy}
      classNames={{ input: "numbers" }}
      autoComplete="off"
    />
  );
}

export function placeholderOf({ meant, spec }: Pick<WidgetProps, "meant" | "spec">): string {
  if (meant !== undefined && meant !== null) return `${String(meant)} (usual)`;
  if (spec.words.length > 0) return spec.words.join(" or ");
  return spec.nullable ? "none" : "";
}

/** Whole numbers by one or ten; others in their leading digit. */
export function stepped(value: number, way: number, isWhole: boolean, isFar: boolean): number {
  if (isWhole) return value + way * (isFar ? 10 : 1);
  if (value === 0) return way * 0.1;
  const power = Math.floor(Math.log10(Math.abs(value)) + 1e-9);
  const unit = 10 ** (way < 0 && Math.abs(value) === 10 ** power ? power - 1 : power);
  return Number((value + way * unit).toPrecision(6));
}
