import { Button, Group, Modal, Stack, Text, Textarea } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery } from "@tanstack/react-query";
import {
  changePromptsOfJobMutation,
  getRunConfigOptions,
  listRunEventsOptions,
} from "@/api/generated/@tanstack/react-query.gen";
import type { LiveEvent } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { useDraft } from "@/shared/draft";
import { plural } from "@/shared/format";

interface Props {
  runId: string;
  opened: boolean;
  close: () => void;
}

/** Other prompts for the samples of a run that works. */
export function PromptsDialog({ runId, opened, close }: Props) {
  const config = useQuery({ ...getRunConfigOptions({ path: { run_id: runId } }), enabled: opened });
  // What was asked for while it worked is in its events; its config stays what it began with.
  const asked = useQuery({
    ...listRunEventsOptions({ path: { run_id: runId }, query: { kinds: KINDS, limit: 1000 } }),
    enabled: opened,
    staleTime: 0,
  });
  const now = promptsAsked(asked.data?.events ?? []) ?? promptsOf(config.data?.config);
  const draft = useDraft(`prompts/${runId}`, 2, now.join("\n"));
  const prompts = draft.value
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  const change = useMutation({
    ...changePromptsOfJobMutation(),
    meta: { tellsItself: true },
    onSuccess: () => {
      notifications.show({ title: "Asked for new prompts", message: "The next samples are made with them." });
      draft.clear();
      close();
    },
  });
  return (
    <Modal opened={opened} onClose={close} title="Sample prompts" size="lg" centered>
      <Stack gap="sm">
        <Textarea
          label="One prompt in a line"
          description="After a prompt: --n negative, --w and --h size, --d seed, --l guidance, --s steps"
          autosize
          minRows={6}
          maxRows={16}
          value={draft.value}
          onChange={(event) => draft.set(event.currentTarget.value)}
          data-autofocus
        />
        {change.error && (
          <Text size="sm" c="var(--said-error)" role="alert">
            {problemOf(change.error).message}
          </Text>
        )}
        <Group justify="space-between">
          <Text size="sm" c="dimmed" aria-live="polite">
            {plural(prompts.length, "prompt")}
          </Text>
          <Group gap="xs">
            <Button variant="default" onClick={close}>
              Cancel
            </Button>
            <Button
              disabled={!prompts.length}
              loading={change.isPending}
              onClick={() => change.mutate({ path: { job_id: runId }, body: { prompts } })}
            >
              Use from now on
            </Button>
          </Group>
        </Group>
      </Stack>
    </Modal>
  );
}

const KINDS = ["request_answered", "started", "resumed"];

/** The prompts that the working engine took last; null where it has those of its config. */
function promptsAsked(events: readonly LiveEvent[]): string[] | null {
  let found: string[] | null = null;
  for (const { kind, data } of events) {
    if (kind !== "request_answered") found = null;
    else if (data?.ok && Array.isArray(data.prompts)) found = data.prompts.map(String);
  }
  return found;
}

/** The prompts of a stored config, each as it is written in a line. */
function promptsOf(config: unknown): string[] {
  const sampling = (config as { sampling?: { prompts?: unknown } } | undefined)?.sampling;
  const prompts = Array.isArray(sampling?.prompts) ? sampling.prompts : [];
  return prompts.map((each) => (typeof each === "string" ? each : String((each as { prompt?: unknown }).prompt ?? "")));
}
