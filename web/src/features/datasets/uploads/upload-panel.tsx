import { Badge, Button, Collapse, Group, Paper, Progress, Stack, Text } from "@mantine/core";
import { Pause, Play } from "lucide-react";
import { type ReactNode, useState } from "react";
import { Virtuoso } from "react-virtuoso";
import { bytes, count, plural } from "@/shared/format";
import { ClashQuestion } from "./clash-question";
import { FileRow } from "./file-row";
import { type Row, useSending } from "./store";
import { Failures, Waits } from "./upload-notes";
import type { Uploader } from "./uploader";

const ROW_PX = 44;
const ROWS_SHOWN = 6;
/** What is wrong comes first, then what moves. */
const ORDER = { failed: 0, clash: 1, retrying: 2, sending: 3, paused: 4, waiting: 5, done: 6 };

/** Files on their way to a dataset: all together, those that need an answer, and each on its own. */
export function UploadPanel(props: { datasetId: string; uploader: Uploader; next?: ReactNode }) {
  const { uploader } = props;
  const sending = useSending((state) => state.of[props.datasetId]);
  const [opened, setOpened] = useState(false);
  const rows = sending?.rows ?? [];
  if (!sending || rows.length === 0) return null;

  const of = (state: Row["state"]) => rows.filter((row) => row.state === state);
  const clashes = of("clash");
  const failed = of("failed");
  const done = of("done").length;
  const open = rows.length - done - clashes.length - failed.length;
  const retryable = failed.filter((row) => row.canRetry).map((row) => row.id);
  return (
    <Paper withBorder p="md" component="section" aria-label="Uploads">
      <Stack gap="sm">
        <Group justify="space-between" gap="xs">
          <Group gap="xs">
            <Text fw={600} className="numbers" aria-live="polite">
              {open > 0
                ? `${(sending.waits ?? sending.halted) !== null ? "Waiting" : sending.paused ? "Paused" : "Uploading"}: ${count(done)} of ${plural(rows.length, "file")}`
                : `${plural(done, "file")} uploaded`}
            </Text>
            {sending.skipped > 0 && (
              <Text size="sm" c="dimmed" className="numbers">
                {count(sending.skipped)} had arrived before
              </Text>
            )}
            {failed.length > 0 && (
              <Badge color="red" variant="outline" tt="none" c="var(--said-error)">
                {failed.length} not taken
              </Badge>
            )}
          </Group>
          <Group gap="xs">
            {open > 0 && sending.halted === null && sending.waits === null && (
              <Button
                size="xs"
                variant="default"
                leftSection={sending.paused ? <Play size={14} aria-hidden /> : <Pause size={14} aria-hidden />}
                onClick={() => (sending.paused ? uploader.resume() : uploader.pause())}
              >
                {sending.paused ? "Resume" : "Pause"}
              </Button>
            )}
            {retryable.length > 0 && (
              <Button size="xs" variant="default" onClick={() => uploader.retry(retryable)}>
                Try {plural(retryable.length, "file")} again
              </Button>
            )}
            <Button size="xs" variant="subtle" onClick={() => setOpened(!opened)} aria-expanded={opened}>
              {opened ? "Hide files" : "Show files"}
            </Button>
            {open === 0 && (
              <Button size="xs" variant="subtle" onClick={() => uploader.remove(rows.map((row) => row.id))}>
                Close
              </Button>
            )}
          </Group>
        </Group>
        {open > 0 && <Overall rows={rows} />}
        {open === 0 && clashes.length === 0 && done > 0 && props.next}
        <Waits
          halted={sending.halted}
          waits={sending.waits ?? of("retrying")[0]?.problem ?? null}
          resume={() => uploader.resume()}
        />
        {clashes.length > 0 && <ClashQuestion clashes={clashes} uploader={uploader} />}
        {failed.length > 0 && !opened && <Failures failed={failed} />}
        <Collapse expanded={opened}>
          <Virtuoso
            style={{ height: ROW_PX * Math.min(ROWS_SHOWN, rows.length) }}
            data={opened ? [...rows].sort((one, other) => ORDER[one.state] - ORDER[other.state]) : []}
            computeItemKey={(_, row) => row.id}
            itemContent={(_, row) => <FileRow row={row} uploader={uploader} />}
            tabIndex={0}
            aria-label="Files"
          />
        </Collapse>
      </Stack>
    </Paper>
  );
}

function Overall(props: { rows: readonly Row[] }) {
  const total = props.rows.reduce((sum, row) => sum + row.bytes, 0);
  const sent = props.rows.reduce((sum, row) => sum + Math.min(row.sent, row.bytes), 0);
  return (
    <Group gap="sm" wrap="nowrap">
      <Progress value={total ? (100 * sent) / total : 0} flex={1} aria-label="Uploaded" />
      <Text size="sm" c="dimmed" className="numbers" style={{ whiteSpace: "nowrap" }}>
        {bytes(sent)} of {bytes(total)}
      </Text>
    </Group>
  );
}
