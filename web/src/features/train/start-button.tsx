import { ActionIcon, Alert, Button, Group, Menu, Stack, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ChevronDown, Play } from "lucide-react";
import { createJobMutation, listJobsOptions, listQueuesOptions } from "@/api/generated/@tanstack/react-query.gen";
import { problemOf } from "@/api/problem";
import type { Form } from "@/forms/form";
import { useShortcut } from "@/shared/shortcuts";

const ACTIVE: ReadonlySet<string> = new Set(["waiting", "starting", "running", "unresponsive", "stopping", "pausing"]);

/** Put the draft into the queue: it starts at once where nothing else runs. */
export function StartButton(props: {
  form: Form;
  isValid: boolean;
  started: (id: string) => void;
  jump: (path: string) => void;
}) {
  const { form, isValid, started } = props;
  const queries = useQueryClient();
  const jobs = useQuery(listJobsOptions());
  const queues = useQuery(listQueuesOptions());
  const start = useMutation({
    ...createJobMutation(),
    meta: { tellsItself: true },
    onSuccess: (job) => {
      void queries.invalidateQueries({ queryKey: listJobsOptions().queryKey.slice(0, 1) });
      started(job.id);
    },
  });
  const go = (more: { hold?: boolean; top?: boolean; numbered?: boolean; queue?: string } = {}) =>
    start.mutate({ body: { config: { ...form.state.data }, ...more } });
  const waiting = (jobs.data ?? []).filter((each) => ACTIVE.has(each.state)).length;
  const problem = start.error ? problemOf(start.error) : null;
  const isTaken = problem?.code === "name_taken";
  useShortcut("mod+enter", "Start the training", () => isValid && go(), { group: "Train", whileTyping: true });
  return (
    <Stack gap="xs">
      {problem && (
        <Alert color={isTaken ? "orange" : "red"} title={isTaken ? "The name is taken" : "It was not started"} p="sm">
          <Stack gap="xs" align="flex-start">
            <Text size="sm">{problem.message}</Text>
            {isTaken && (
              <Group gap="xs">
                <Button size="compact-sm" onClick={() => go({ numbered: true })}>
                  Add a number
                </Button>
                <Button size="compact-sm" variant="default" onClick={() => props.jump("name")}>
                  Change the name
                </Button>
              </Group>
            )}
          </Stack>
        </Alert>
      )}
      <Group gap={1} wrap="nowrap">
        <Button
          fullWidth
          leftSection={<Play size={16} aria-hidden />}
          disabled={!isValid}
          loading={start.isPending}
          onClick={() => go()}
          style={{ borderStartEndRadius: 0, borderEndEndRadius: 0 }}
        >
          {waiting > 0 ? "Add to the queue" : "Start"}
        </Button>
        <Menu position="bottom-end">
          <Menu.Target>
            <ActionIcon
              variant="filled"
              size={36}
              disabled={!isValid}
              aria-label="Other ways to start"
              style={{ borderStartStartRadius: 0, borderEndStartRadius: 0 }}
            >
              <ChevronDown size={16} aria-hidden />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            {waiting > 0 && <Menu.Item onClick={() => go({ top: true })}>Next in the queue</Menu.Item>}
            <Menu.Item onClick={() => go({ hold: true })}>Add to the queue, but hold it</Menu.Item>
            <Menu.Item onClick={() => go({ numbered: true })}>Start with a number after the name</Menu.Item>
            {(queues.data ?? []).map((queue) => (
              <Menu.Item key={queue.name} onClick={() => go({ queue: queue.name })}>
                Into the queue {queue.name}
              </Menu.Item>
            ))}
          </Menu.Dropdown>
        </Menu>
      </Group>
      {waiting > 0 && (
        <Text size="xs" c="dimmed">
          {waiting === 1 ? "One job runs or waits" : `${waiting} jobs run or wait`}; this one comes after.
        </Text>
      )}
    </Stack>
  );
}
