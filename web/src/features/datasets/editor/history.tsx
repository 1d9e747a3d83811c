import { Button, Group, Paper, Stack, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getCaptionHistoryOptions } from "@/api/generated/@tanstack/react-query.gen";
import { restoreOldCaption, saveCaption } from "@/api/generated/sdk.gen";
import { problemOf } from "@/api/problem";
import { ago } from "@/shared/format";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import { DiffText } from "../diff-text";
import { patch } from "./drafts";

/** What was done to one caption, newest first; each point can be gone back to. */
export function History(props: {
  datasetId: string;
  item: string;
  version: string;
  text: string | null;
  /** Something was typed and is not saved yet: going back would be a conflict with it. */
  isTyped: boolean;
}) {
  const queries = useQueryClient();
  const path = { dataset_id: props.datasetId };
  const { data, error, isPending, refetch } = useQuery(getCaptionHistoryOptions({ path, query: { item: props.item } }));
  const restore = useMutation({
    mutationFn: async ({ step, text }: { step: string; text: string | null }) => {
      const based_on = props.version;
      // What was there before the first edit is no edit's outcome: it is written as a new one.
      return text === null
        ? (await restoreOldCaption({ path, body: { item: props.item, step, based_on } })).data
        : (await saveCaption({ path, body: { item: props.item, text, based_on } })).data;
    },
    onSuccess: (saved) => patch(queries, props.datasetId, saved),
    meta: { tellsItself: true },
  });
  if (isPending) return <RowSkeletons what="the history" rows={2} height={60} />;
  if (error) return <Failed error={error} again={refetch} />;
  if (data.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        Nothing was changed yet. Every edit is listed here and can be undone.
      </Text>
    );
  }
  const first = data.at(-1);
  return (
    <Stack gap="xs">
      {restore.error && (
        <Text size="sm" c="var(--said-error)" role="alert">
          {problemOf(restore.error).message}
        </Text>
      )}
      {data.map((entry) => (
        <Paper key={entry.step.id} withBorder p="xs">
          <Group justify="space-between" gap="xs" mb={4}>
            <Text size="xs" c="dimmed">
              {entry.step.title} · {ago(entry.step.time)}
            </Text>
            {entry.after !== props.text && (
              <Button
                size="compact-xs"
                variant="default"
                disabled={props.isTyped}
                loading={
                  restore.isPending && restore.variables.step === entry.step.id && restore.variables.text === null
                }
                onClick={() => restore.mutate({ step: entry.step.id, text: null })}
              >
                Restore this
              </Button>
            )}
          </Group>
          <DiffText pieces={entry.pieces} />
        </Paper>
      ))}
      {first && first.before !== null && first.before !== props.text && (
        <Paper withBorder p="xs">
          <Group justify="space-between" gap="xs" mb={4}>
            <Text size="xs" c="dimmed">
              Before the first edit
            </Text>
            <Button
              size="compact-xs"
              variant="default"
              disabled={props.isTyped}
              loading={restore.isPending && restore.variables.text !== null}
              onClick={() => restore.mutate({ step: first.step.id, text: first.before })}
            >
              Restore this
            </Button>
          </Group>
          <DiffText pieces={[{ kind: "same", text: first.before }]} />
        </Paper>
      )}
    </Stack>
  );
}
