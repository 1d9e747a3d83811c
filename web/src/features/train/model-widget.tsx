import { ActionIcon, Autocomplete, Group } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { FolderOpen } from "lucide-react";
import { listArchitecturesOptions, listModelsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { WidgetProps } from "@/forms/context";
import { PathPicker } from "@/forms/widgets/path-picker";

/** A model of this machine, one of the Hub, or any path. */
export function ModelWidget(props: WidgetProps) {
  const [opened, picker] = useDisclosure(false);
  const local = useQuery(listModelsOptions({ query: { kind: "model" } }));
  const known = useQuery({ ...listArchitecturesOptions(), staleTime: 60_000 });
  const here = [...new Set((local.data?.models ?? []).map((each) => each.path))];
  const hub = (known.data ?? []).map((each) => each.repository).filter((each) => !here.includes(each));
  return (
    <Group gap={6} wrap="nowrap">
      <Autocomplete
        id={props.id}
        data={[
          { group: "On this machine", items: ["demo", ...here.filter((each) => each !== "demo")] },
          { group: "To be downloaded", items: [...new Set(hub)] },
        ]}
        value={typeof props.value === "string" ? props.value : ""}
        onChange={(value) => props.set(value === "" ? undefined : value)}
        placeholder="A folder, a .safetensors file, or a name on the Hub"
        error={props.hasError}
        aria-describedby={props.describedBy}
        flex={1}
        spellCheck={false}
      />
      <ActionIcon variant="default" size={36} onClick={picker.open} aria-label="Pick: Base model">
        <FolderOpen size={16} aria-hidden />
      </ActionIcon>
      <PathPicker opened={opened} close={picker.close} label="Base model" pick={props.set} />
    </Group>
  );
}
