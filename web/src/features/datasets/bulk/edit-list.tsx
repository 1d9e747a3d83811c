import { Badge, Button, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { listCaptionEditsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { StepOut } from "@/api/generated/types.gen";
import { ago, plural } from "@/shared/format";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";

const SHOWN = 50;

/** What was done to the dataset's captions, newest first; each edit can be undone, and an undoing, too. */
export function EditList(props: { datasetId: string; busy: string | null; undo: (step: StepOut) => void }) {
  const { data, error, isPending, refetch } = useQuery(
    listCaptionEditsOptions({ path: { dataset_id: props.datasetId }, query: { limit: SHOWN } }),
  );
  const done = data?.filter((step) => step.state !== "planned") ?? [];
  return (
    <Stack gap="xs" component="section" aria-label="Edits so far">
      <Title order={2} size="h5">
        Edits so far
      </Title>
      {isPending ? (
        <RowSkeletons what="edits" rows={3} height={52} />
      ) : error ? (
        <Failed error={error} again={refetch} />
      ) : done.length === 0 ? (
        <Text size="sm" c="dimmed">
          No caption was changed yet. Every edit is listed here and can be undone.
        </Text>
      ) : (
        done.map((step) => (
          <Paper key={step.id} withBorder p="xs">
            <Group justify="space-between" wrap="nowrap" gap="sm">
              <Stack gap={0} miw={0}>
                <Text size="sm" lineClamp={2} title={step.title} style={{ overflowWrap: "anywhere" }}>
                  {step.title}
                </Text>
                <Text size="xs" c="dimmed" className="numbers">
                  {plural(step.count, "caption")} · {ago(step.time)}
                </Text>
                {step.problem && (
                  <Text size="xs" c="var(--said-error)">
                    {step.problem}
                  </Text>
                )}
              </Stack>
              {step.undone_by ? (
                <Badge variant="default" tt="none" style={{ flexShrink: 0 }}>
                  Undone
                </Badge>
              ) : step.state === "done" ? (
                <Button
                  size="compact-sm"
                  variant="default"
                  style={{ flexShrink: 0 }}
                  loading={props.busy === step.id}
                  disabled={props.busy !== null}
                  onClick={() => props.undo(step)}
                >
                  {step.what === "undo" ? "Redo" : "Undo"}
                </Button>
              ) : null}
            </Group>
          </Paper>
        ))
      )}
    </Stack>
  );
}
