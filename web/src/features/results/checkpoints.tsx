import { ActionIcon, Badge, Button, Group, Paper, Stack, Table, Text, Title } from "@mantine/core";
import { modals } from "@mantine/modals";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Play, Trash2 } from "lucide-react";
import {
  getJobQueryKey,
  getRunQueryKey,
  listJobsOptions,
  listRunCheckpointsOptions,
  listRunCheckpointsQueryKey,
  resumeJobMutation,
} from "@/api/generated/@tanstack/react-query.gen";
import { deleteRunCheckpoint } from "@/api/generated/sdk.gen";
import { askDelete } from "@/shared/delete-dialog";
import { ago, bytes, count } from "@/shared/format";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";

const NOWRAP = { whiteSpace: "nowrap" } as const;
const RESTING = ["paused", "stopped", "failed", "finished"];

/** The states of a training that it can go on from. */
export function Checkpoints({ runId }: { runId: string }) {
  const queries = useQueryClient();
  const path = { path: { run_id: runId } };
  const { data, error, isPending, refetch } = useQuery(listRunCheckpointsOptions(path));
  const { data: jobs } = useQuery(listJobsOptions());
  const job = jobs?.find((each) => each.id === runId);
  const canResume = job !== undefined && RESTING.includes(job.state);
  const newest = data?.findLast((each) => each.is_whole)?.step;
  const refresh = () => queries.invalidateQueries({ queryKey: listRunCheckpointsQueryKey(path) });
  const resume = useMutation({
    ...resumeJobMutation(),
    onSuccess: () => {
      notifications.show({ title: "In the queue again", message: "It goes on when its turn comes." });
      void queries.invalidateQueries({ queryKey: getJobQueryKey({ path: { job_id: runId } }) });
      void queries.invalidateQueries({ queryKey: getRunQueryKey(path) });
    },
  });
  const go = (step: number) => resume.mutate({ path: { job_id: runId }, body: { from_step: step } });
  /** What is later goes; from the newest checkpoint on nothing is lost. */
  const ask = (step: number) =>
    step === newest
      ? go(step)
      : modals.openConfirmModal({
          title: `Go back to step ${count(step)}?`,
          centered: true,
          labels: { confirm: "Go back and resume", cancel: "Keep" },
          children: (
            <Text size="sm">
              What this run made after step {count(step)} goes to the trash: later checkpoints, samples and LoRA files,
              and the numbers of those steps.
            </Text>
          ),
          onConfirm: () => go(step),
        });
  const remove = (step: number, size: number) =>
    askDelete({
      what: `the checkpoint of step ${count(step)}`,
      about: "The run can then not go on from there. LoRA files stay.",
      bytes: size,
      remove: async () => {
        const { data: trashed } = await deleteRunCheckpoint({ path: { run_id: runId, step } });
        await refresh();
        return [trashed.id];
      },
      onRestored: () => void refresh(),
    });
  return (
    <Paper withBorder p="md" component="section" aria-label="Checkpoints">
      <Stack gap="sm">
        <Stack gap={2}>
          <Title order={2} size="h5">
            Checkpoints
          </Title>
          <Text size="sm" c="dimmed">
            Everything that the training needs to go on: weights, optimizer, random numbers.
            {data?.length && !canResume && job === undefined
              ? " This run was started on the command line: go on with loratory resume."
              : ""}
          </Text>
        </Stack>
        {isPending && <RowSkeletons what="the checkpoints" rows={2} />}
        {error && <Failed error={error} again={refetch} />}
        {data?.length === 0 && (
          <Text size="sm" c="dimmed">
            None yet. One is written now and then while the run works, and when it is stopped.
          </Text>
        )}
        {data && data.length > 0 && (
          <Table.ScrollContainer minWidth={280}>
            <Table verticalSpacing="xs">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Step</Table.Th>
                  <Table.Th ta="right">Size</Table.Th>
                  <Table.Th ta="right" visibleFrom="sm">
                    Written
                  </Table.Th>
                  <Table.Th aria-label="Actions" />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {data.toReversed().map((each) => (
                  <Table.Tr key={each.step}>
                    <Table.Td>
                      <Group gap="xs">
                        {count(each.step)}
                        {!each.is_whole && (
                          <Badge color="orange" variant="light" size="sm" tt="none">
                            Not whole
                          </Badge>
                        )}
                      </Group>
                    </Table.Td>
                    <Table.Td ta="right" style={NOWRAP}>
                      {bytes(each.bytes)}
                    </Table.Td>
                    <Table.Td ta="right" visibleFrom="sm" style={NOWRAP}>
                      {ago(each.time)}
                    </Table.Td>
                    <Table.Td>
                      <Group gap="xs" justify="flex-end" wrap="nowrap">
                        {canResume && each.is_whole && (
                          <Button
                            size="xs"
                            variant="default"
                            leftSection={<Play size={14} aria-hidden />}
                            loading={resume.isPending && resume.variables.body.from_step === each.step}
                            onClick={() => ask(each.step)}
                          >
                            Resume from here
                          </Button>
                        )}
                        <ActionIcon
                          variant="default"
                          size={30}
                          aria-label={`Delete the checkpoint of step ${each.step}`}
                          disabled={!each.can_be_deleted}
                          onClick={() => remove(each.step, each.bytes)}
                        >
                          <Trash2 size={16} aria-hidden />
                        </ActionIcon>
                      </Group>
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        )}
      </Stack>
    </Paper>
  );
}
