import { Button, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { listEditChangesOptions } from "@/api/generated/@tanstack/react-query.gen";
import { plural } from "@/shared/format";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import { Changes, PAGE } from "./changes";

/** What an edit would do, all of it, before anything is done. */
export function Preview(props: { datasetId: string; edit: string; isPending: boolean; apply: () => void }) {
  const { data, error, isPending, refetch } = useQuery({
    ...listEditChangesOptions({
      path: { dataset_id: props.datasetId, step_id: props.edit },
      query: { offset: 0, limit: PAGE },
    }),
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (isPending) return <RowSkeletons what="the changes" rows={3} height={80} />;
  if (error) return <Failed error={error} again={refetch} />;
  const { count } = data.edit;
  return (
    <Stack gap="sm" component="section" aria-label="Preview">
      <Group justify="space-between">
        <Text fw={600} className="numbers" aria-live="polite">
          {count === 0 ? "Nothing would change" : `${plural(count, "caption")} would change`}
        </Text>
        {count > 0 && (
          <Button onClick={props.apply} loading={props.isPending}>
            Change {plural(count, "caption")}
          </Button>
        )}
      </Group>
      <Changes datasetId={props.datasetId} edit={props.edit} total={count} />
    </Stack>
  );
}
