import { Alert, Group, List, Paper, Stack, Text } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useState } from "react";
import { Virtuoso } from "react-virtuoso";
import { listEditChangesOptions } from "@/api/generated/@tanstack/react-query.gen";
import { count, plural } from "@/shared/format";
import { Failed } from "@/shared/states";
import { DiffText } from "../diff-text";
import { Thumb } from "../thumb";

export const PAGE = 100;

/** Every change of an edit, one by one: only those in sight are asked for. */
export function Changes(props: { datasetId: string; edit: string; total: number }) {
  const { datasetId, edit, total } = props;
  const [seen, setSeen] = useState<readonly [number, number]>([0, 0]);
  const numbers = [...new Set([0, ...between(seen[0], seen[1])])];
  const pages = useQueries({
    queries: numbers.map((number) => ({
      ...listEditChangesOptions({
        path: { dataset_id: datasetId, step_id: edit },
        query: { offset: number * PAGE, limit: PAGE },
      }),
      staleTime: Number.POSITIVE_INFINITY,
    })),
  });
  const first = pages[0];
  const left = first?.data;
  return (
    <Stack gap="sm">
      {first?.error && <Failed error={first.error} again={first.refetch} />}
      {left && left.left_out_count > 0 && (
        <Alert
          color="orange"
          title={`${plural(left.left_out_count, "caption stays", "captions stay")} as they are`}
          p="sm"
        >
          <List size="sm">
            {left.left_out.slice(0, 5).map((each) => (
              <List.Item key={each.item} style={{ overflowWrap: "anywhere" }}>
                {each.item}: {each.reason}
              </List.Item>
            ))}
            {left.left_out_count > 5 && <List.Item>and {count(left.left_out_count - 5)} more</List.Item>}
          </List>
        </Alert>
      )}
      {total > 0 && (
        <Paper withBorder>
          <Virtuoso
            style={{ height: `min(60dvh, ${total * 5.25}rem)` }}
            totalCount={total}
            rangeChanged={({ startIndex, endIndex }) => setSeen([startIndex, endIndex])}
            aria-label="Changes"
            itemContent={(place) => {
              const page = Math.floor(place / PAGE);
              const change = pages[numbers.indexOf(page)]?.data?.changes[place - page * PAGE];
              return (
                <Group
                  wrap="nowrap"
                  align="flex-start"
                  gap="sm"
                  p="xs"
                  mih="5.25rem"
                  style={{ borderBottom: place < total - 1 ? "1px solid var(--line)" : undefined }}
                >
                  <div style={{ width: 64, height: 64, flexShrink: 0, borderRadius: 4, overflow: "hidden" }}>
                    {change && <Thumb datasetId={datasetId} item={change.item} size={128} />}
                  </div>
                  <Stack gap={2} miw={0} flex={1}>
                    <Text size="xs" c="dimmed" truncate>
                      {change?.item ?? "Loading…"}
                    </Text>
                    {change && <DiffText pieces={change.pieces} />}
                  </Stack>
                </Group>
              );
            }}
          />
        </Paper>
      )}
    </Stack>
  );
}

function between(first: number, last: number): number[] {
  const from = Math.floor(first / PAGE);
  return Array.from({ length: Math.floor(last / PAGE) - from + 1 }, (_, place) => from + place);
}
