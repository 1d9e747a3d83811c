import { ActionIcon, Anchor, Button, Group, Menu, Stack, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ChevronDown, Play } from "lucide-react";
import { useEffect } from "react";
import { createJobMutation, listJobsOptions, listQueuesOptions } from "@/api/generated/@tanstack/react-query.gen";
import { problemOf } from "@/api/problem";
import type { Form } from "@/forms/form";
import { useShortcut } from "@/shared/shortcuts";
import { findingsOf, StartProblem, type StartWish } from "./start-problem";
import { byField, type CheckOut } from "./use-server-says";

const ACTIVE: ReadonlySet<string> = new Set(["waiting", "starting", "running", "unresponsive", "stopping", "pausing"]);

/** Put the draft into the queue: it starts at once where nothing else runs. */
export function StartButton(props: {
  form: Form;
  check: CheckOut | undefined;
  started: (id: string) => void;
  jump: (path: string) => void;
}) {
  const { form, check, started } = props;
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
    onError: (error) => {
      const found = findingsOf(problemOf(error));
      if (found.length > 0) form.tell(byField(found));
    },
  });
  const { reset, isError } = start;
  // What was said about the draft as it was says nothing about the changed one.
  useEffect(() => {
    if (isError) return form.store.subscribe((now, before) => now.data !== before.data && reset());
  }, [form, reset, isError]);
  const go = (more: StartWish = {}) => start.mutate({ body: { config: { ...form.state.data }, ...more } });
  const isValid = check?.valid ?? false;
  const mayAnyway = check !== undefined && !isValid && check.config !== null;
  const waiting = (jobs.data ?? []).filter((each) => ACTIVE.has(each.state)).length;
  useShortcut("mod+enter", "Start the training", () => isValid && go(), { group: "Train", whileTyping: true });
  return (
    <Stack gap="xs">
      {start.error && <StartProblem problem={problemOf(start.error)} go={go} jump={props.jump} />}
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
        <Menu position="top-end">
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
      {mayAnyway && (
        <Text size="xs" c="dimmed">
          It would not start as it is.{" "}
          <Anchor component="button" inherit onClick={() => go({ anyway: true })}>
            Start anyway
          </Anchor>
          , for pictures or files that come later.
        </Text>
      )}
      {waiting > 0 && (
        <Text size="xs" c="dimmed">
          {waiting === 1 ? "One job runs or waits" : `${waiting} jobs run or wait`}; this one comes after.
        </Text>
      )}
    </Stack>
  );
}
