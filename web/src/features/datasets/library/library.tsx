import { Button, Group, SimpleGrid, Skeleton, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { FolderOpen, Plus, Search, SearchX } from "lucide-react";
import { useState } from "react";
import { listDatasetsOptions, listDatasetsQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { changeDataset, deleteDataset } from "@/api/generated/sdk.gen";
import type { DatasetOut } from "@/api/generated/types.gen";
import { bytes, plural } from "@/shared/format";
import { Empty, Failed } from "@/shared/states";
import { ChangeDialog } from "./change-dialog";
import { DatasetCard } from "./dataset-card";
import { NameForm } from "./name-form";

type Doing = { what: "rename" | "remove"; dataset: DatasetOut } | null;

const EVERY_MS = 1_000;

/** All datasets as cards. */
export function Library(props: { search: string; onSearch: (text: string) => void; make: () => void }) {
  const queries = useQueryClient();
  const [doing, setDoing] = useState<Doing>(null);
  const { data, error, isPending, refetch } = useQuery({
    ...listDatasetsOptions(),
    // A folder that is looked at for the first time has no numbers yet.
    refetchInterval: ({ state }) => (state.data?.datasets.some((each) => each.summary === null) ? EVERY_MS : false),
  });
  const done = async () => {
    await queries.invalidateQueries({ queryKey: listDatasetsQueryKey() });
    setDoing(null);
  };
  const rename = useMutation({
    mutationFn: (asked: { id: string; name: string }) =>
      changeDataset({ path: { dataset_id: asked.id }, body: { name: asked.name } }),
    onSuccess: done,
    meta: { tellsItself: true },
  });
  const remove = useMutation({
    mutationFn: (id: string) => deleteDataset({ path: { dataset_id: id } }),
    onSuccess: done,
    meta: { tellsItself: true },
  });
  const close = () => {
    rename.reset();
    remove.reset();
    setDoing(null);
  };
  if (isPending) return <Cards />;
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
      <Group justify="space-between" mb="md">
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
        <SimpleGrid cols={{ base: 1, xs: 2, md: 3, lg: 4 }} spacing="md">
          {shown.map((dataset) => (
            <DatasetCard
              key={dataset.id}
              dataset={dataset}
              rename={() => setDoing({ what: "rename", dataset })}
              remove={() => setDoing({ what: "remove", dataset })}
            />
          ))}
        </SimpleGrid>
      )}
      <ChangeDialog opened={doing?.what === "rename"} close={close} title="Rename dataset">
        {doing && (
          <NameForm
            start={doing.dataset.name}
            submit="Rename"
            description="Its folder gets this name, too."
            isPending={rename.isPending}
            error={rename.error}
            done={(name) => rename.mutate({ id: doing.dataset.id, name })}
          />
        )}
      </ChangeDialog>
      <ChangeDialog opened={doing?.what === "remove"} close={close} title="Move dataset to the trash">
        {doing && (
          <>
            <Text size="sm">
              {doing.dataset.name} with{" "}
              {doing.dataset.summary
                ? `${plural(doing.dataset.summary.pictures, "picture")} (${bytes(doing.dataset.summary.bytes)})`
                : "all it holds"}{" "}
              goes to the trash. It can be taken back from there.
            </Text>
            {remove.error && <Failed error={remove.error} />}
            <Group justify="flex-end" mt="md">
              <Button variant="default" onClick={close} data-autofocus>
                Cancel
              </Button>
              <Button color="red" loading={remove.isPending} onClick={() => remove.mutate(doing.dataset.id)}>
                Move to trash
              </Button>
            </Group>
          </>
        )}
      </ChangeDialog>
    </>
  );
}

function Cards() {
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, md: 3, lg: 4 }} spacing="md" mt="3.25rem" role="status" aria-label="Loading datasets">
      {["a", "b", "c", "d"].map((key) => (
        <Skeleton key={key} h="17.5rem" radius="md" />
      ))}
    </SimpleGrid>
  );
}
