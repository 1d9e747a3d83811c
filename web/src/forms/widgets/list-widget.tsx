import { TagsInput } from "@mantine/core";
import type { WidgetProps } from "../context";
import { number, parsed } from "../words";

const SIZE = /^(\d+)\s*[x×,]\s*(\d+)$/i;

/** `1024` or `1024x768`. */
export function sizeOf(text: string): unknown {
  const pair = SIZE.exec(text.trim());
  return pair ? [Number(pair[1]), Number(pair[2])] : parsed(text);
}

export function sizeText(value: unknown): string {
  return Array.isArray(value)
    ? value.map(String).join("x")
    : typeof value === "number"
      ? number(value)
      : String(value ?? "");
}

/** A list of texts, of numbers, or of sizes. Enter adds one. */
export function ListWidget(props: WidgetProps) {
  const { kind } = props.spec;
  const entries = Array.isArray(props.value) ? props.value : [];
  const read = kind === "texts" ? (text: string) => text : kind === "sizes" ? sizeOf : parsed;
  return (
    <TagsInput
      id={props.id}
      value={entries.map(sizeText)}
      onChange={(texts) => props.set(texts.map(read))}
      placeholder={entries.length === 0 ? "Type and press Enter" : undefined}
      error={props.hasError}
      aria-describedby={props.describedBy}
      splitChars={kind === "texts" ? [] : [" ", ";"]}
      acceptValueOnBlur
      allowDuplicates={kind === "numbers"}
    />
  );
}
