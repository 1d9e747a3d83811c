import { ActionIcon, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { FolderOpen } from "lucide-react";
import type { WidgetProps } from "../context";
import { placeholderOf } from "./number-widget";
import { PathPicker } from "./path-picker";

/** A path on the server's machine: typed, or picked in its folders. */
export function PathWidget(props: WidgetProps) {
  const [opened, picker] = useDisclosure(false);
  return (
    <>
      <TextInput
        id={props.id}
        value={typeof props.value === "string" ? props.value : ""}
        onChange={({ currentTarget: { value } }) => props.set(value === "" ? undefined : value)}
        placeholder={placeholderOf(props)}
        error={props.hasError}
        aria-describedby={props.describedBy}
        autoComplete="off"
        spellCheck={false}
        rightSection={
          <ActionIcon variant="subtle" color="gray" onClick={picker.open} aria-label={`Pick: ${props.field.label}`}>
            <FolderOpen size={16} aria-hidden />
          </ActionIcon>
        }
      />
      <PathPicker opened={opened} close={picker.close} label={props.field.label} pick={props.set} />
    </>
  );
}
