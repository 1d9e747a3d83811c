import { Radio, Select, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { changeDataset } from "@/api/generated/sdk.gen";
import type { DatasetChange, DatasetDetail } from "@/api/generated/types.gen";
import { askAgain } from "@/api/of-dataset";
import { problemOf } from "@/api/problem";

type Extension = NonNullable<DatasetChange["caption_extension"]>;
type Style = NonNullable<DatasetChange["style"]>;

const EXTENSIONS: Extension[] = [".txt", ".caption", ".cap", ".json"];

/** What was chosen for one dataset; a choice is kept as soon as it is made. */
export function DatasetSettings(props: { dataset: DatasetDetail }) {
  const { id, settings } = props.dataset;
  const queries = useQueryClient();
  const save = useMutation({
    mutationFn: (body: DatasetChange) => changeDataset({ path: { dataset_id: id }, body }),
    onSuccess: () => askAgain(queries, id),
    meta: { tellsItself: true },
  });
  const shown = save.isPending ? { ...settings, ...save.variables } : settings;
  return (
    <Stack maw="36rem" gap="lg">
      <Select
        label="Ending of caption files"
        description="New captions get it, and where a picture has several caption files, the one with it is read. Files that are there keep their names."
        data={EXTENSIONS}
        value={shown.caption_extension}
        onChange={(value) => value && save.mutate({ caption_extension: value as Extension })}
        allowDeselect={false}
        styles={{ wrapper: { maxWidth: "16rem" } }}
      />
      <Radio.Group
        label="Captions are"
        description="How the editor shows them at first, and how they are counted."
        value={shown.style}
        onChange={(value) => save.mutate({ style: value as Style })}
      >
        <Stack gap="xs" mt="xs">
          <Radio value="auto" label="Found out by a look at them" />
          <Radio value="tags" label="Tags between commas" />
          <Radio value="prose" label="Sentences" />
        </Stack>
      </Radio.Group>
      {save.error && (
        <Text size="sm" c="var(--said-error)" role="alert">
          {problemOf(save.error).message}
        </Text>
      )}
    </Stack>
  );
}
