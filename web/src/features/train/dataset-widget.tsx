import { ActionIcon, Group, Select, Text, TextInput, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { FolderOpen, RefreshCw } from "lucide-react";
import { listDatasetsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { WidgetProps } from "@/forms/context";
import { PathPicker } from "@/forms/widgets/path-picker";
import { bytes, plural } from "@/shared/format";

const ID = "dataset:";

/** A dataset of this server, with its size beside it, or a folder. */
export function DatasetWidget(props: WidgetProps) {
  const [opened, picker] = useDisclosure(false);
  const datasets = useQuery(listDatasetsOptions());
  const value = typeof props.value === "string" ? props.value : "";
  const isFolder = value !== "" && !value.startsWith(ID);
  const found = datasets.data?.datasets.find((each) => `${ID}${each.id}` === value);
  const shared = { id: props.id, error: props.hasError, "aria-describedby": props.describedBy, flex: 1 };
  return (
    <>
      <Group gap={6} wrap="nowrap">
        {isFolder ? (
          <TextInput
            {...shared}
            value={value}
            onChange={(event) => props.set(event.currentTarget.value || undefined)}
            spellCheck={false}
          />
        ) : (
          <Select
            {...shared}
            data={(datasets.data?.datasets ?? []).map((each) => ({ value: `${ID}${each.id}`, label: each.name }))}
            value={value || null}
            onChange={(chosen) => props.set(chosen ?? undefined)}
            placeholder={datasets.isPending ? "Looking…" : "Choose a dataset"}
            nothingFoundMessage="There is no such dataset"
            searchable
            clearable
          />
        )}
        <Tooltip label="Look again">
          <ActionIcon
            variant="default"
            size={36}
            aria-label="Look for datasets again"
            loading={datasets.isFetching}
            onClick={() => void datasets.refetch()}
          >
            <RefreshCw size={16} aria-hidden />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Pick a folder">
          <ActionIcon variant="default" size={36} aria-label="Pick: Dataset" onClick={picker.open}>
            <FolderOpen size={16} aria-hidden />
          </ActionIcon>
        </Tooltip>
      </Group>
      {found?.summary && (
        <Text size="xs" c="dimmed" mt={4} className="numbers">
          {plural(found.summary.pictures, "picture")}, {found.summary.captioned} with captions,{" "}
          {bytes(found.summary.bytes)}
        </Text>
      )}
      <PathPicker opened={opened} close={picker.close} label="Dataset" pick={props.set} />
    </>
  );
}
