import { Button, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Virtuoso } from "react-virtuoso";
import { listFindingsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { deleteFiles, trashDatasetPictures } from "@/api/generated/sdk.gen";
import type { ToUtf8 } from "@/api/generated/types.gen";
import { askDelete } from "@/shared/delete-dialog";
import { count, plural } from "@/shared/format";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import { refreshDataset } from "../refresh";
import classes from "./checks.module.css";
import { Finding, type FindingOut } from "./finding";
import type { KINDS } from "./kinds";

const MOST = 1000;
const IN_ROW = 4;
/** So few rows need no window of their own. */
const FEW = 12;
const ENCODING: ToUtf8 = { op: "to_utf8", encoding: "cp1252" };

/** The findings of one kind, with what mends them. What the fix would take is ticked, and can be unticked. */
export function Findings(props: {
  datasetId: string;
  root: string;
  folder: string;
  shown: (typeof KINDS)[number];
  limits: { smallest_side: number };
  open: (item: string) => void;
  editAll: (items: string[], operation?: ToUtf8) => void;
}) {
  const { datasetId, shown } = props;
  const queries = useQueryClient();
  const [changed, setChanged] = useState<Readonly<Record<string, boolean>>>({});
  const { data, error, isPending, refetch } = useQuery({
    ...listFindingsOptions({
      path: { dataset_id: datasetId, kind: shown.kind },
      query: { ...props.limits, limit: MOST },
    }),
    placeholderData: keepPreviousData,
  });
  if (isPending) return <RowSkeletons what="the findings" rows={3} height={170} />;
  if (error) return <Failed error={error} again={refetch} />;
  const goes = shown.fix === "trash" || shown.fix === "trash_others" || shown.fix === "files";
  const isTicked = (item: string, place: number) => changed[item] ?? (shown.fix === "trash_others" ? place > 0 : false);
  const ticked = [...new Set(data.findings.flatMap((each) => each.items.filter(isTicked)))];
  const all = [...new Set(data.findings.flatMap((each) => each.items))];

  function remove() {
    askDelete({
      what: plural(ticked.length, "file"),
      about: shown.fix === "files" ? undefined : "Captions and masks go with the pictures.",
      remove: async () => {
        const gone = shown.fix === "files" ? await removeFiles() : await removePictures();
        setChanged({});
        await refreshDataset(queries, datasetId);
        return gone;
      },
      onRestored: () => void refreshDataset(queries, datasetId),
    });
  }
  async function removePictures() {
    const { data: gone } = await trashDatasetPictures({ path: { dataset_id: datasetId }, body: { items: ticked } });
    return gone.map((each) => each.id);
  }
  async function removeFiles() {
    const paths = ticked.map((item) => [props.folder, item].filter(Boolean).join("/"));
    return (await deleteFiles({ body: { root: props.root, paths } })).data.ids;
  }
  const rows = inRows(data.findings);
  const shownRow = (row: readonly FindingOut[]) => (
    <div className={row.length > 1 ? classes.row : undefined}>
      {row.map((finding) => (
        <Finding
          key={finding.items.join("/")}
          datasetId={datasetId}
          finding={finding}
          isPicture={shown.kind !== "odd_files" && shown.kind !== "broken"}
          isTicked={goes ? isTicked : null}
          tick={(item, on) => setChanged((before) => ({ ...before, [item]: on }))}
          open={props.open}
        />
      ))}
    </div>
  );
  return (
    <Stack gap="sm">
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <Stack gap={0}>
          <Title order={2} size="h5" className="numbers">
            {shown.label}: {count(data.total)}
          </Title>
          <Text size="sm" c="dimmed">
            {shown.about}
          </Text>
        </Stack>
        {data.total > 0 && (
          <Group gap="xs" justify="flex-end">
            {goes && (
              <>
                <Button
                  size="xs"
                  variant="subtle"
                  onClick={() => setChanged(Object.fromEntries(all.map((item) => [item, ticked.length < all.length])))}
                >
                  {ticked.length < all.length ? "Tick all" : "Untick all"}
                </Button>
                <Button size="xs" color="red" disabled={ticked.length === 0} onClick={remove}>
                  Move {count(ticked.length)} to trash
                </Button>
              </>
            )}
            {(shown.fix === "captions" || shown.fix === "encoding") && (
              <Button size="xs" onClick={() => props.editAll(all, shown.fix === "encoding" ? ENCODING : undefined)}>
                {shown.fix === "encoding" ? "Repair the encoding" : "Edit these captions"}
              </Button>
            )}
          </Group>
        )}
      </Group>
      {data.total === 0 ? (
        <Text size="sm" c="dimmed">
          Nothing of this kind was found.
        </Text>
      ) : (
        <Paper withBorder>
          {rows.length <= FEW ? (
            <ul className={classes.list} aria-label={shown.label}>
              {rows.map((row) => (
                <li key={row[0]?.items[0]}>{shownRow(row)}</li>
              ))}
            </ul>
          ) : (
            <Virtuoso
              style={{ height: "max(20rem, calc(100dvh - 20rem))" }}
              data={rows}
              computeItemKey={(place, row) => `${place} ${row[0]?.items[0]}`}
              aria-label={shown.label}
              itemContent={(_, row) => shownRow(row)}
            />
          )}
        </Paper>
      )}
      {data.total > data.findings.length && (
        <Text size="sm" c="dimmed">
          The first {count(data.findings.length)} are shown; the others follow when these are dealt with.
        </Text>
      )}
    </Stack>
  );
}

/** Pictures that are found each for itself stand side by side; groups keep a row of their own. */
function inRows(findings: readonly FindingOut[]): FindingOut[][] {
  const rows: FindingOut[][] = [];
  for (const finding of findings) {
    const last = rows.at(-1);
    const joins = finding.items.length === 1 && last?.[0]?.items.length === 1 && last.length < IN_ROW;
    if (joins) last.push(finding);
    else rows.push([finding]);
  }
  return rows;
}
