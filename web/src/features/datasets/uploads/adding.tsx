import { Stack } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useCallback, useEffect, useMemo } from "react";
import type { DatasetOut } from "@/api/generated/types.gen";
import { type DroppedFile, readDropped } from "@/shared/dropped";
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
export function Adding(props: {
  dataset: DatasetOut;
  showArea: boolean;
  isEmpty: boolean;
  /** What to do when all files are there. */
  next?: ReactNode;
}) {
  const { dataset } = props;
  const queries = useQueryClient();
  const uploader = useUploader(dataset);
  const imports = useImports((state) => state.imports).filter((each) => each.datasetId === dataset.id);
  const target = { datasetId: dataset.id, root: dataset.files_root, folder: dataset.files_path };
  const add = (dropped: DroppedFile[]) => void uploader.add(withoutLitter(dropped));
  // Files that are dropped anywhere on a dataset's page belong to it.
  useEffect(() => {
    const over = (event: DragEvent) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    };
    const drop = (event: DragEvent) => {
      if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      void readDropped(event.dataTransfer).then((dropped) => uploader.add(withoutLitter(dropped)));
    };
    document.addEventListener("dragover", over);
    document.addEventListener("drop", drop);
    return () => {
      document.removeEventListener("dragover", over);
      document.removeEventListener("drop", drop);
    };
  }, [uploader]);
  const arrived = useCallback(() => void refreshDataset(queries, dataset.id), [queries, dataset.id]);
  return (
    <Stack gap="sm" className={classes.adding}>
      <Unfinished target={target} uploader={uploader} add={add} />
      <UploadPanel datasetId={dataset.id} uploader={uploader} next={props.next} />
      {imports.map((importing) => (
        <ImportCard key={importing.task} importing={importing} arrived={arrived} />
      ))}
      {props.showArea && <DropArea add={add} compact={!props.isEmpty} />}
    </Stack>
  );
}
