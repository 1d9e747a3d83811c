import { ActionIcon, Group, Progress, Stack, Text } from "@mantine/core";
import { CircleAlert, CircleCheck, Clock, Pause, Play, RotateCw, X } from "lucide-react";
import { bytes } from "@/shared/format";
import type { Row, RowState } from "./store";
import type { Uploader } from "./uploader";

const SAID: Record<RowState, string> = {
  waiting: "Waiting",
  sending: "Uploading",
  paused: "Paused",
  retrying: "Tried again in a moment",
  done: "Uploaded",
  clash: "The name is taken",
  failed: "Not taken",
};

/** One file: its name, how far it is, or what is wrong with it. */
export function FileRow(props: { row: Row; uploader: Uploader }) {
  const { row, uploader } = props;
  const moves = row.state === "sending" || row.state === "paused" || row.state === "retrying";
  return (
    <Group gap="sm" wrap="nowrap" mih={44} py={2} pr="xs">
      <Sign state={row.state} />
      <Stack gap={2} flex={1} miw={0}>
        <Group justify="space-between" gap="sm" wrap="nowrap">
          <Text size="sm" truncate title={row.path}>
            {row.path}
          </Text>
          <Text size="xs" c="dimmed" className="numbers" style={{ whiteSpace: "nowrap" }}>
            {moves ? `${bytes(row.sent)} of ${bytes(row.bytes)}` : bytes(row.bytes)}
          </Text>
        </Group>
        {moves && row.state !== "retrying" ? (
          <Progress
            size="xs"
            value={row.bytes ? (100 * row.sent) / row.bytes : 0}
            aria-label={`${row.path} uploaded`}
          />
        ) : (
          <Text size="xs" c={row.problem ? "var(--said-error)" : "dimmed"} style={{ overflowWrap: "anywhere" }}>
            {row.problem ?? SAID[row.state]}
          </Text>
        )}
      </Stack>
      {moves && (
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label={`${row.state === "paused" ? "Resume" : "Pause"} ${row.path}`}
          onClick={() => uploader.pauseOrResume(row.id)}
        >
          {row.state === "paused" ? <Play size={14} aria-hidden /> : <Pause size={14} aria-hidden />}
        </ActionIcon>
      )}
      {row.state === "failed" && row.canRetry && (
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label={`Try ${row.path} again`}
          onClick={() => uploader.retry([row.id])}
        >
          <RotateCw size={14} aria-hidden />
        </ActionIcon>
      )}
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label={row.state === "done" ? `Take ${row.path} off the list` : `Do not upload ${row.path}`}
        onClick={() => uploader.remove([row.id])}
      >
        <X size={14} aria-hidden />
      </ActionIcon>
    </Group>
  );
}

function Sign(props: { state: RowState }) {
  const style = { flexShrink: 0 };
  if (props.state === "done")
    return <CircleCheck size={16} aria-label="Uploaded" color="var(--mantine-color-green-7)" style={style} />;
  if (props.state === "failed" || props.state === "clash")
    return <CircleAlert size={16} aria-label={SAID[props.state]} color="var(--mantine-color-red-6)" style={style} />;
  return <Clock size={16} aria-label={SAID[props.state]} color="var(--mantine-color-dimmed)" style={style} />;
}
