import { ActionIcon, Button, Group, Stack, Text, Tooltip } from "@mantine/core";
import { modals } from "@mantine/modals";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Trash2, Undo2, X } from "lucide-react";
import { emptyTrashMutation, listTrashOptions, restoreTrashMutation } from "@/api/generated/@tanstack/react-query.gen";
import type { TrashEntry } from "@/api/generated/types.gen";
import { ago, bytes, plural } from "@/shared/format";
import { Section } from "@/shared/section";
import { RowSkeletons } from "@/shared/skeletons";
import { Empty, Failed } from "@/shared/states";
import classes from "./settings.module.css";

const SHOWN = 200;

/** What was deleted: take it back, or delete it for good. */
export function Trash() {
  const queries = useQueryClient();
  const { data, error, refetch } = useQuery(listTrashOptions({ query: { limit: SHOWN } }));
  // What is back may be a run, a dataset, a picture or a model: everything that is shown is asked for anew.
  const onSuccess = () => queries.invalidateQueries();
  const restore = useMutation({ ...restoreTrashMutation(), onSuccess });
  const empty = useMutation({ ...emptyTrashMutation(), onSuccess });
  if (error && !data) return <Failed error={error} again={refetch} />;
  if (!data) return <RowSkeletons what="the trash" rows={4} height={48} />;
  const forGood = (what: string, size: number, ids: string[] | null) =>
    modals.openConfirmModal({
      title: `Delete ${what} for good?`,
      centered: true,
      labels: { confirm: "Delete for good", cancel: "Keep" },
      confirmProps: { color: "red" },
      children: <Text size="sm">That makes {bytes(size)} free. It cannot be taken back.</Text>,
      onConfirm: () =>
        empty.mutate(
          { body: { ids } },
          {
            onSuccess: (answer) =>
              notifications.show({
                title: "Deleted for good",
                message: `${bytes(answer.freed_bytes)} are free again.`,
              }),
          },
        ),
    });
  return (
    <Section
      title="Trash"
      about={data.total > 0 ? `${plural(data.total, "thing")}, ${bytes(data.total_bytes)}` : undefined}
      actions={
        data.total > 0 && (
          <Button
            variant="default"
            onClick={() => forGood("everything in the trash", data.total_bytes, null)}
            loading={empty.isPending}
          >
            Empty the trash
          </Button>
        )
      }
    >
      {data.total === 0 ? (
        <Empty icon={Trash2} title="The trash is empty">
          What you delete comes here first, so that it can be taken back.
        </Empty>
      ) : (
        <Stack component="ul" gap={0} m={0} p={0} style={{ listStyle: "none" }}>
          {data.entries.map((entry) => (
            <Row
              key={entry.id}
              entry={entry}
              restore={() => restore.mutate({ path: { trash_id: entry.id } })}
              remove={() => forGood(nameOf(entry), entry.bytes, [entry.id])}
            />
          ))}
        </Stack>
      )}
    </Section>
  );
}

function nameOf(entry: TrashEntry): string {
  return entry.path.split(/[/\\]/).at(-1) ?? entry.path;
}

function Row(props: { entry: TrashEntry; restore: () => void; remove: () => void }) {
  const { entry } = props;
  const name = nameOf(entry);
  return (
    <Group component="li" gap="sm" wrap="nowrap" className={classes.finding}>
      <Stack gap={0} flex={1} miw={0}>
        <Text size="sm" fw={550} truncate>
          {name}
        </Text>
        <Text size="xs" c="dimmed" truncate title={entry.path}>
          {entry.kind} · {ago(entry.time)} · {entry.path}
        </Text>
      </Stack>
      <Text size="sm" c="dimmed" className="numbers" style={{ whiteSpace: "nowrap" }}>
        {bytes(entry.bytes)}
      </Text>
      <Button
        variant="default"
        size="xs"
        leftSection={<Undo2 size={14} aria-hidden />}
        onClick={props.restore}
        aria-label={`Restore ${name}`}
      >
        Restore
      </Button>
      <Tooltip label="Delete for good">
        <ActionIcon variant="subtle" color="red" onClick={props.remove} aria-label={`Delete ${name} for good`}>
          <X size={16} aria-hidden />
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}
