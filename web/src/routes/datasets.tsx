import { Button, Stack } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { createLazyRoute, useNavigate, useSearch } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useEffect, useState } from "react";
import type { DatasetOut } from "@/api/generated/types.gen";
import { Library } from "@/features/datasets/library/library";
import { NewDataset } from "@/features/datasets/library/new-dataset";
import { refreshDataset } from "@/features/datasets/refresh";
import { DropArea } from "@/features/datasets/uploads/drop-area";
import { suggestedName, withoutLitter, withoutTop } from "@/features/datasets/uploads/dropped";
import { uploaderOf } from "@/features/datasets/uploads/uploader";
import { type DroppedFile, onDropped, takeDropped } from "@/shared/dropped";
import { PageHead } from "@/shared/page-head";

export const Route = createLazyRoute("/datasets")({ component: Datasets });

function Datasets() {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { search } = useSearch({ from: "/datasets" });
  const [opened, setOpened] = useState(false);
  const [dropped, setDropped] = useState<readonly DroppedFile[]>([]);

  function begin(files: readonly DroppedFile[]) {
    setDropped(files);
    setOpened(true);
  }
  // What was dropped on any other page waits here.
  useEffect(() => {
    const take = () => {
      void takeDropped()?.then((files) => {
        const kept = withoutLitter(files);
        if (kept.length > 0) {
          setDropped(kept);
          setOpened(true);
        }
      });
    };
    take();
    return onDropped(take);
  }, []);

  function made(dataset: DatasetOut, files: readonly DroppedFile[]) {
    setOpened(false);
    const target = { datasetId: dataset.id, root: dataset.files_root, folder: dataset.files_path };
    void uploaderOf(target, () => void refreshDataset(queries, dataset.id)).add(withoutTop(files));
    void navigate({ to: "/datasets/$datasetId", params: { datasetId: dataset.id } });
  }
  return (
    <Stack gap="lg">
      <PageHead
        title="Datasets"
        actions={
          <Button leftSection={<Plus size={16} aria-hidden />} onClick={() => begin([])}>
            New dataset
          </Button>
        }
      />
      <DropArea add={(files) => files.length > 0 && begin(files)} compact />
      <Library
        search={search}
        onSearch={(text) => void navigate({ to: "/datasets", search: { search: text }, replace: true })}
        make={() => begin([])}
      />
      <NewDataset
        opened={opened}
        dropped={dropped}
        suggested={suggestedName(dropped)}
        close={() => setOpened(false)}
        made={made}
      />
    </Stack>
  );
}
