import { Text, Textarea } from "@mantine/core";
import { type KeyboardEvent, useState } from "react";
import type { WidgetProps } from "../context";

/** A list with one entry per line, such as prompts. */
export function LinesWidget(props: WidgetProps) {
  const [typed, setTyped] = useState<string | null>(null);
  const entries = Array.isArray(props.value) ? props.value.map(String) : [];
  const take = (text: string) => {
    setTyped(text);
    props.set(text.split("\n").filter((line) => line.trim() !== ""));
  };
  const onKey = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    const way = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
    if (way === 0 || !event.altKey) return;
    event.preventDefault();
    const area = event.currentTarget;
    const next = lineMoved(area.value, area.selectionStart, way);
    if (!next) return;
    take(next.text);
    requestAnimationFrame(() => area.setSelectionRange(next.at, next.at));
  };
  return (
    <>
      <Textarea
        id={props.id}
        value={typed ?? entries.join("\n")}
        onChange={(event) => take(event.currentTarget.value)}
        onKeyDown={onKey}
        onBlur={() => setTyped(null)}
        placeholder={"One on each line.\na photo of ohwx dog on a beach --w 1024 --h 768 --d 42"}
        error={props.hasError}
        aria-describedby={[props.describedBy, `${props.id}-hint`].filter(Boolean).join(" ")}
        autosize
        minRows={3}
        maxRows={12}
      />
      <Text id={`${props.id}-hint`} size="xs" c="dimmed" mt={4}>
        One on each line; Alt with an arrow moves a line.
      </Text>
    </>
  );
}

/** The line at the cursor changes places with its neighbour; null at the end of the list. */
export function lineMoved(text: string, cursor: number, way: -1 | 1): { text: string; at: number } | null {
  const lines = text.split("\n");
  const row = text.slice(0, cursor).split("\n").length - 1;
  const column = cursor - (text.lastIndexOf("\n", cursor - 1) + 1);
  const [line, other] = [lines[row], lines[row + way]];
  if (line === undefined || other === undefined) return null;
  lines[row] = other;
  lines[row + way] = line;
  const before = lines.slice(0, row + way).reduce((sum, each) => sum + each.length + 1, 0);
  return { text: lines.join("\n"), at: before + column };
}
