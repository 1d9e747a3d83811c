import { Button, Group, Skeleton, Text } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Virtuoso } from "react-virtuoso";
import { searchRunLogQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { searchRunLog } from "@/api/generated/sdk.gen";
import { plural } from "@/shared/format";
import { Failed } from "@/shared/states";
import classes from "./log.module.css";
import { levelled } from "./log-lines";
import { LogText } from "./log-text";

const MOST = 500;

/** The lines of the whole log that hold a text. */
export function FoundLines({ runId, wanted }: { runId: string; wanted: string }) {
  const options = { path: { run_id: runId }, query: { text: wanted, most: MOST } };
  const { data, error, isPending, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: [...searchRunLogQueryKey(options), "pages"],
    queryFn: async ({ pageParam, signal }) =>
      (await searchRunLog({ ...options, query: { ...options.query, after: pageParam ?? undefined }, signal })).data,
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.after,
  });
  if (error) return <Failed error={error} again={refetch} />;
  if (isPending) return <Skeleton className={classes.box} />;
  const lines = data.pages.flatMap((page) => page.found).flatMap((each) => levelled([each.line]));
  return (
    <>
      <section className={classes.box} aria-label="Found lines">
        {lines.length > 0 && (
          <Virtuoso data={lines} itemContent={(_index, line) => <LogText line={line} wanted={wanted} />} tabIndex={0} />
        )}
      </section>
      <Group justify="space-between">
        <Text size="xs" c="dimmed" aria-live="polite">
          {lines.length ? `${plural(lines.length, "line")} found` : `No line holds “${wanted}”.`}
        </Text>
        {hasNextPage && (
          <Button size="xs" variant="default" onClick={() => void fetchNextPage()} loading={isFetchingNextPage}>
            Search on
          </Button>
        )}
      </Group>
    </>
  );
}
