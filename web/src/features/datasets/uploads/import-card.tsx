import { Alert, Button, Group, Paper, Progress, Stack, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { getTaskOptions } from "@/api/generated/@tanstack/react-query.gen";
import { cancelTask, startImport } from "@/api/generated/sdk.gen";
import type { ImportRequest, TaskReport } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { plural } from "@/shared/format";
import { ImportReportView, reportOf } from "./import-report";
import { addImport, forgetImport, type Importing } from "./store";

const EVERY_MS = 500;

function isOpen(task: TaskReport): boolean {
  return task.state === "waiting" || task.state === "running";
}

/** One archive that the server brings into the dataset: how far it is, and what came of it. */
export function ImportCard(props: { importing: Importing; arrived: () => void }) {
  const { importing, arrived } = props;
  const { data: task, error } = useQuery({
    ...getTaskOptions({ path: { task_id: importing.task } }),
    refetchInterval: ({ state }) => (state.data && !isOpen(state.data) ? false : EVERY_MS),
  });
  const cancel = useMutation({ mutationFn: () => cancelTask({ path: { task_id: importing.task } }) });
  const again = useMutation({
    mutationFn: async (clash: ImportRequest["clash"]) =>
      (
        await startImport({
          body: {
            source: { kind: "upload", upload_id: importing.upload },
            dataset: importing.folder,
            dataset_root: importing.root,
            clash,
          },
        })
      ).data,
    onSuccess: (begun) => addImport({ ...importing, task: begun.id }),
  });
  const close = () => forgetImport(importing.task);
  const isDone = task?.state === "finished";
  useEffect(() => {
    if (isDone) arrived();
  }, [isDone, arrived]);
  const forgotten = error !== null && problemOf(error).status === 404;
  if (forgotten) {
    return (
      <Alert
        color="orange"
        title={`${importing.name} was not unpacked to its end`}
        withCloseButton
        onClose={close}
        closeButtonLabel="Close"
      >
        <Group gap="sm">
          <Text size="sm">The server was started anew meanwhile. Nothing of it is in the dataset.</Text>
          <Button size="xs" variant="default" loading={again.isPending} onClick={() => again.mutate("refuse")}>
            Unpack again
          </Button>
        </Group>
      </Alert>
    );
  }
  if (!task || isOpen(task)) {
    const share = task?.total ? (100 * task.done) / task.total : 0;
    return (
      <Paper withBorder p="md" role="status" aria-label={`Unpacking ${importing.name}`}>
        <Stack gap="xs">
          <Group justify="space-between">
            <Text fw={600} style={{ overflowWrap: "anywhere" }}>
              Unpacking {importing.name}
            </Text>
            <Button size="xs" variant="default" onClick={() => cancel.mutate()} disabled={!task || task.cancelling}>
              {task?.cancelling ? "Stopping" : "Cancel"}
            </Button>
          </Group>
          <Progress value={share} aria-label={`Unpacked of ${importing.name}`} />
        </Stack>
      </Paper>
    );
  }
  const report = isDone ? reportOf(task) : null;
  if (report) {
    return (
      <Alert
        color={report.left_out_count > 0 ? "orange" : "green"}
        title={`${importing.name}: ${plural(report.pictures, "picture")} and ${plural(report.captions, "caption")} came in`}
        withCloseButton
        closeButtonLabel="Close"
        onClose={close}
      >
        <ImportReportView report={report} />
      </Alert>
    );
  }
  if (task.state === "cancelled") {
    return (
      <Alert
        color="gray"
        title={`${importing.name} was not unpacked`}
        withCloseButton
        closeButtonLabel="Close"
        onClose={close}
      >
        It was cancelled; nothing of it is in the dataset.
      </Alert>
    );
  }
  return (
    <Alert
      color="red"
      title={`${importing.name} was not unpacked`}
      withCloseButton
      closeButtonLabel="Close"
      onClose={close}
    >
      <Stack gap="xs">
        <Text size="sm">{task.error?.message}</Text>
        <Again code={task.error?.code} isPending={again.isPending} again={again.mutate} />
        {again.error && <Text size="sm">{problemOf(again.error).message}</Text>}
      </Stack>
    </Alert>
  );
}

/** Names that the dataset has already are a question; what else went wrong may be gone the next time. */
function Again(props: { code?: string; isPending: boolean; again: (clash: ImportRequest["clash"]) => void }) {
  if (props.code !== "exists") {
    return (
      <Group>
        <Button size="xs" variant="default" loading={props.isPending} onClick={() => props.again("refuse")}>
          Try again
        </Button>
      </Group>
    );
  }
  return (
    <Group gap="xs">
      <Button size="xs" variant="default" disabled={props.isPending} onClick={() => props.again("number")}>
        Keep both
      </Button>
      <Button size="xs" variant="default" disabled={props.isPending} onClick={() => props.again("replace")}>
        Replace
      </Button>
      <Button size="xs" variant="default" disabled={props.isPending} onClick={() => props.again("skip")}>
        Skip
      </Button>
    </Group>
  );
}
