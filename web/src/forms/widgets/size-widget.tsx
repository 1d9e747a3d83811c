import { TextInput } from "@mantine/core";
import { useState } from "react";
import type { WidgetProps } from "../context";
import { sizeOf, sizeText } from "./list-widget";
import { placeholderOf } from "./number-widget";

/** One number, or two of them: 1024, 1024x768. */
export function SizeWidget(props: WidgetProps) {
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <TextInput
      id={props.id}
      value={typed ?? sizeText(props.value)}
      onChange={({ currentTarget: { value } }) => {
        setTyped(value);
        props.set(value.trim() === "" ? undefined : sizeOf(value));
      }}
      onBlur={() => setTyped(null)}
      placeholder={placeholderOf(props)}
      error={props.hasError}
      aria-describedby={props.describedBy}
      classNames={{ input: "numbers" }}
      autoComplete="off"
    />
  );
}
