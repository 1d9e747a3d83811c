import { PasswordInput, TextInput } from "@mantine/core";
import type { WidgetProps } from "../context";
import { placeholderOf } from "./number-widget";

export function TextWidget(props: WidgetProps) {
  const { spec, value, set } = props;
  const Input = props.field.facts.secret ? PasswordInput : TextInput;
  return (
    <Input
      id={props.id}
      value={typeof value === "string" ? value : value == null ? "" : String(value)}
      onChange={(event) =>
        set(event.currentTarget.value === "" && spec.usual !== "" ? undefined : event.currentTarget.value)
      }
      placeholder={placeholderOf(props)}
      error={props.hasError}
      aria-describedby={props.describedBy}
      autoComplete="off"
      spellCheck={false}
    />
  );
}
