import { Button, Group, SimpleGrid, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { FolderOpen, Plus, Search, SearchX } from "lucide-react";
import { useState } from "react";
import { listDatasetsOptions, listDatasetsQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { changeDataset, deleteDataset } from "@/api/generated/sdk.gen";
import type { DatasetOut } from "@/api/generated/types.gen";
import { askDelete } from "@/shared/delete-dialog";
import { plural } from "@/shared/format";
import { CardSkeletons } from "@/shared/skeletons";
import { Empty, Failed } from "@/shared/states";
import { ChangeDialog } from "./change-dialog";
import { DatasetCard } from "./dataset-card";
import { NameForm } from "./name-form";

const EVERY_MS = 1_000;
const COLUMNS = { base: 2, md: 3, lg: 4 };

/** All datasets as cards. */
export function Library(props: { search: string; onSearch: (text: string) => void; make: () => void }) {
  const queries = useQueryClient();
  const [renamed, setRenamed] = useState<DatasetOut | null>(null);
  const { data, error, isPending, refetch } = useQuery({
    ...listDatasetsOptions(),
    // A folder that is looked at for the first time has no numbers yet.
    refetchInterval: ({ state }) => (state.data?.datasets.some((each) => each.summary === null) ? EVERY_MS : false),
  });
  const done = async () => {
    await queries.invalidateQueries({ queryKey: listDatasetsQueryKey() });
    setRenamed(null);
  };
  const rename = useMutation({
    mutationFn: (asked: { id: string; name: string }) =>
      changeDataset({ path: { dataset_id: asked.id }, body: { name: asked.name } }),
    onSuccess: done,
    meta: { tellsItself: true },
  });
  const remove = (dataset: DatasetOut) =>
    askDelete({
      what: `the dataset ${dataset.name}`,
      about: dataset.summary ? `${plural(dataset.summary.pictures, "picture")} with all captions.` : undefined,
      bytes: dataset.summary?.bytes,
      remove: async () => {
        const { data: gone } = await deleteDataset({ path: { dataset_id: dataset.id } });
        await done();
        return [gone.id];
      },
      onRestored: done,
    });
  const close = () => {
    rename.reset();
    setRenamed(null);
  };
  if (isPending) return <CardSkeletons what="datasets" cards={4} height={260} cols={COLUMNS} />;
  if (error) return <Failed error={error} again={refetch} />;
  if (data.datasets.length === 0) {
    return (
      <Empty
        icon={FolderOpen}
        title="No datasets yet"
        action={
          <Button leftSection={<Plus size={16} aria-hidden />} onClick={props.make}>
            New dataset
          </Button>
        }
      >
        Drop a folder of pictures or an archive anywhere on this page. Captions beside the pictures come along.
      </Empty>
    );
  }
  const wanted = props.search.trim().toLocaleLowerCase();
  const shown = data.datasets.filter((each) => each.name.toLocaleLowerCase().includes(wanted));
  return (
    <>
      <Group justify="space-between">
        <TextInput
          aria-label="Search datasets"
          placeholder="Search datasets"
          leftSection={<Search size={16} aria-hidden />}
          value={props.search}
          onChange={(event) => props.onSearch(event.currentTarget.value)}
          w={{ base: "100%", xs: "18rem" }}
          type="search"
        />
        <Text size="sm" c="dimmed" aria-live="polite" className="numbers">
          {wanted ? `${plural(shown.length, "dataset")} of ${data.datasets.length}` : plural(shown.length, "dataset")}
        </Text>
      </Group>
      {shown.length === 0 ? (
        <Empty icon={SearchX} title="No dataset has this name">
          Search for a part of the name, or empty the search to see all.
        </Empty>
      ) : (
        <SimpleGrid cols={COLUMNS} spacing={{ base: "sm", xs: "md" }}>
          {shown.map((dataset) => (
            <DatasetCard
              key={dataset.id}
              dataset={dataset}
              rename={() => setRenamed(dataset)}
              remove={() => remove(dataset)}
            />
          ))}
        </SimpleGrid>
      )}
      <ChangeDialog opened={renamed !== null} close={close} title="Rename dataset">
        {renamed && (
          <NameForm
            start={renamed.name}
            submit="Rename"
            description="Its folder gets this name, too."
            isPending={rename.isPending}
            error={rename.error}
            done={(name) => rename.mutate({ id: renamed.id, name })}
          />
        )}
      </ChangeDialog>
    </>
  );
}
