import { Stack } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import type { DatasetOut } from "@/api/generated/types.gen";
import type { DroppedFile } from "@/shared/dropped";
import { refreshDataset } from "../refresh";
import classes from "./adding.module.css";
import { DropArea } from "./drop-area";
import { withoutLitter } from "./dropped";
import { ImportCard } from "./import-card";
import { useImports } from "./store";
import { Unfinished } from "./unfinished";
import { UploadPanel } from "./upload-panel";
import { type Uploader, uploaderOf } from "./uploader";

/** The uploader of a dataset, which tells the pages when files have arrived. */
export function useUploader(dataset: Pick<DatasetOut, "id" | "files_root" | "files_path">): Uploader {
  const queries = useQueryClient();
  return useMemo(
    () =>
      uploaderOf({ datasetId: dataset.id, root: dataset.files_root, folder: dataset.files_path }, () => {
        void refreshDataset(queries, dataset.id);
      }),
    [queries, dataset.id, dataset.files_root, dataset.files_path],
  );
}

/** Everything about files that come into a dataset: what is on its way, and where more is dropped. */
export function Adding(props: { dataset: DatasetOut; showArea: boolean; isEmpty: boolean }) {
  const { dataset } = props;
  const queries = useQueryClient();
  const uploader = useUploader(dataset);
  const imports = useImports((state) => state.imports).filter((each) => each.datasetId === dataset.id);
  const target = { datasetId: dataset.id, root: dataset.files_root, folder: dataset.files_path };
  const add = (dropped: DroppedFile[]) => void uploader.add(withoutLitter(dropped));
  const arrived = useCallback(() => void refreshDataset(queries, dataset.id), [queries, dataset.id]);
  return (
    <Stack gap="sm" className={classes.adding}>
      <Unfinished target={target} add={add} />
      <UploadPanel datasetId={dataset.id} uploader={uploader} />
      {imports.map((importing) => (
        <ImportCard key={importing.task} importing={importing} arrived={arrived} />
      ))}
      {props.showArea && <DropArea add={add} compact={!props.isEmpty} />}
    </Stack>
  );
}
