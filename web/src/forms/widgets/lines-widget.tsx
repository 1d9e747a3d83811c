import { Textarea } from "@mantine/core";
import { useState } from "react";
import type { WidgetProps } from "../context";

/** A list with one entry per line, such as prompts. */
export function LinesWidget(props: WidgetProps) {
  const [typed, setTyped] = useState<string | null>(null);
  const entries = Array.isArray(props.value) ? props.value.map(String) : [];
  return (
    <Textarea
      id={props.id}
      value={typed ?? entries.join("\n")}
      onChange={({ currentTarget: { value } }) => {
        setTyped(value);
        props.set(value.split("\n").filter((line) => line.trim() !== ""));
      }}
      onBlur={() => setTyped(null)}
      placeholder={"One on each line.\na photo of ohwx dog on a beach --w 1024 --h 768 --d 42"}
      error={props.hasError}
      aria-describedby={props.describedBy}
      autosize
      minRows={3}
      maxRows={12}
    />
  );
}
