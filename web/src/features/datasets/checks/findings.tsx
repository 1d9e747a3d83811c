import { Button, Checkbox, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Virtuoso } from "react-virtuoso";
import { listFindingsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { deleteFiles, trashDatasetPictures } from "@/api/generated/sdk.gen";
import type { ListFindingsResponse } from "@/api/generated/types.gen";
import { askDelete } from "@/shared/delete-dialog";
import { count, plural } from "@/shared/format";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import { fileName } from "../addresses";
import { refreshDataset } from "../refresh";
import { Thumb } from "../thumb";
import classes from "./checks.module.css";
import type { KINDS } from "./kinds";

const MOST = 1000;
const IN_ROW = 4;
type FindingOut = ListFindingsResponse["findings"][number];

/** The findings of one kind, with what mends them. What the fix would take is ticked, and can be unticked. */
export function Findings(props: {
  datasetId: string;
  root: string;
  folder: string;
  shown: (typeof KINDS)[number];
  limits: { smallest_side: number };
  open: (item: string) => void;
  editAll: (items: string[]) => void;
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
              <Button size="xs" onClick={() => props.editAll(all)}>
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
          <Virtuoso
            style={{ height: "max(20rem, calc(100dvh - 20rem))" }}
            data={inRows(data.findings)}
            computeItemKey={(place, row) => `${place} ${row[0]?.items[0]}`}
            aria-label={shown.label}
            itemContent={(_, row) => (
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
            )}
          />
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

function Finding(props: {
  datasetId: string;
  finding: FindingOut;
  isPicture: boolean;
  isTicked: ((item: string, place: number) => boolean) | null;
  tick: (item: string, on: boolean) => void;
  open: (item: string) => void;
}) {
  const { finding } = props;
  return (
    <div className={classes.finding}>
      {finding.items.map((item, place) => (
        <Stack key={item} gap={4} className={props.isPicture ? classes.picture : undefined}>
          {props.isPicture && (
            <button
              type="button"
              className={classes.thumb}
              onClick={() => props.open(item)}
              aria-label={`Open ${item}`}
            >
              <Thumb datasetId={props.datasetId} item={item} size={256} fit="contain" />
            </button>
          )}
          {props.isTicked ? (
            <Checkbox
              size="xs"
              label={props.isPicture ? fileName(item) : item}
              checked={props.isTicked(item, place)}
              onChange={(event) => props.tick(item, event.currentTarget.checked)}
              styles={{ label: { overflowWrap: "anywhere" } }}
            />
          ) : (
            <Text size="xs" truncate title={item}>
              {fileName(item)}
            </Text>
          )}
        </Stack>
      ))}
      {finding.reason && (
        <Text size="xs" c="dimmed" flex="1 1 8rem">
          {finding.reason}
        </Text>
      )}
    </div>
  );
}
