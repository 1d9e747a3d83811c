import { Button, Stack, Text } from "@mantine/core";
import { modals } from "@mantine/modals";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { listJobsQueryKey, pauseJobMutation, stopJobMutation } from "@/api/generated/@tanstack/react-query.gen";
import type { JobShown } from "@/api/generated/types.gen";

/** Pause and stop a job that works. Both save first; a job that does not end by itself is ended. */
export function StopButtons(props: { job: JobShown }) {
  const { job } = props;
  const queries = useQueryClient();
  const onSettled = () => queries.invalidateQueries({ queryKey: listJobsQueryKey() });
  const stop = useMutation({ ...stopJobMutation(), onSettled });
  const pause = useMutation({ ...pauseJobMutation(), onSettled });
  const ending = job.state === "stopping" || job.state === "pausing";
  const ask = () =>
    modals.openConfirmModal({
      title: `Stop ${job.name}?`,
      centered: true,
      labels: { confirm: "Stop it", cancel: "Let it work" },
      confirmProps: { color: "red" },
      onConfirm: () => stop.mutate({ path: { job_id: job.id } }),
      children: (
        <Stack gap="xs">
          <Text size="sm">It saves what it has learned so far and ends. Its run can be resumed later.</Text>
        </Stack>
      ),
    });
  return (
    <>
      {job.origin === "queue" && (
        <Button
          variant="default"
          disabled={ending}
          loading={pause.isPending}
          onClick={() => pause.mutate({ path: { job_id: job.id } })}
          aria-label={`Pause ${job.name}`}
        >
          Pause
        </Button>
      )}
      <Button
        variant="default"
        disabled={ending}
        loading={stop.isPending}
        onClick={ask}
        aria-label={`Stop ${job.name}`}
      >
        {ending ? "Ending…" : "Stop"}
      </Button>
    </>
  );
}
