import { List, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { listDatasetsQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { createDataset } from "@/api/generated/sdk.gen";
import type { DatasetOut } from "@/api/generated/types.gen";
import type { DroppedFile } from "@/shared/dropped";
import { bytes, plural } from "@/shared/format";
import { ChangeDialog } from "./change-dialog";
import { NameForm } from "./name-form";

/** Makes a dataset, of what was dropped or empty. */
export function NewDataset(props: {
  opened: boolean;
  dropped: readonly DroppedFile[];
  suggested: string;
  close: () => void;
  made: (dataset: DatasetOut, dropped: readonly DroppedFile[]) => void;
}) {
  const { dropped } = props;
  const queries = useQueryClient();
  const make = useMutation({
    mutationFn: async (name: string) => (await createDataset({ body: { name } })).data,
    onSuccess: async (dataset) => {
      await queries.invalidateQueries({ queryKey: listDatasetsQueryKey() });
      props.made(dataset, dropped);
    },
    meta: { tellsItself: true },
  });
  const size = dropped.reduce((sum, each) => sum + each.file.size, 0);
  return (
    <ChangeDialog
      opened={props.opened}
      close={() => {
        make.reset();
        props.close();
      }}
      title="New dataset"
    >
      <NameForm
        key={dropped[0]?.path ?? ""}
        start={props.suggested}
        submit={dropped.length > 0 ? "Create and upload" : "Create"}
        description="The name of its folder."
        isPending={make.isPending}
        error={make.error}
        done={(name) => make.mutate(name)}
      >
        {dropped.length > 0 && (
          <>
            <Text size="sm" className="numbers">
              {plural(dropped.length, "file")}, {bytes(size)}, will be uploaded:
            </Text>
            <List size="sm" c="dimmed" spacing={2}>
              {dropped.slice(0, 4).map((each) => (
                <List.Item key={each.path} style={{ overflowWrap: "anywhere" }}>
                  {each.path}
                </List.Item>
              ))}
              {dropped.length > 4 && <List.Item>and {plural(dropped.length - 4, "more", "more")}</List.Item>}
            </List>
          </>
        )}
      </NameForm>
    </ChangeDialog>
  );
}
