import { Button, Group, Stack, Text } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Rows3, SearchX } from "lucide-react";
import { listRunsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { plural } from "@/shared/format";
import { RowSkeletons } from "@/shared/skeletons";
import { Empty, Failed } from "@/shared/states";
import { Picked } from "./picked";
import { RunCards } from "./run-cards";
import { RunsFilters } from "./runs-filters";
import { RunsTable } from "./runs-table";
import { KINDS, PAGE, type RunsSearch } from "./search";

interface Props {
  search: RunsSearch;
  onChange: (change: RunsSearch) => void;
}

/** All runs, those of the command line included. */
export function RunsList({ search, onChange }: Props) {
  const isPhone = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  const { data, error, isPending, refetch } = useQuery({
    ...listRunsOptions({
      query: {
        search: search.q,
        state: search.state ? KINDS[search.state]?.states : undefined,
        tag: search.tag ? [search.tag] : undefined,
        sort: search.sort,
        descending: !search.up,
        limit: Math.min(1000, PAGE * (search.more ?? 1)),
      },
    }),
    placeholderData: keepPreviousData,
  });
  const isFiltered = Boolean(search.q || search.state || search.tag);
  const isEmpty = data?.total === 0;
  if (isEmpty && !isFiltered)
    return (
      <Empty
        icon={Rows3}
        title="No runs yet"
        action={
          <Button component={Link} to="/train">
            Train a LoRA
          </Button>
        }
      >
        Every training becomes a run: its loss, samples and LoRA files are kept here, also those of the command line.
      </Empty>
    );
  const picked = search.ids ?? [];
  const pick = (id: string, isPicked: boolean) =>
    onChange({ ids: listOrNothing(isPicked ? [...picked, id] : picked.filter((each) => each !== id)) });
  const Runs = isPhone ? RunCards : RunsTable;
  return (
    <Stack gap="md">
      <RunsFilters search={search} onChange={(change) => onChange({ more: undefined, ...change })} list={data} />
      {error && <Failed error={error} again={refetch} />}
      {isPending && <RowSkeletons what="the runs" rows={6} height={64} />}
      {isEmpty && (
        <Empty
          icon={SearchX}
          title="No run fits"
          action={
            <Button
              variant="default"
              onClick={() => onChange({ q: undefined, state: undefined, tag: undefined, more: undefined })}
            >
              Show all runs
            </Button>
          }
        >
          Other words or another state may find it.
        </Empty>
      )}
      {data && !isEmpty && (
        <>
          <Runs runs={data.runs} search={search} onChange={onChange} picked={picked} pick={pick} />
          <Group justify="space-between">
            <Text size="sm" c="dimmed" aria-live="polite">
              {data.runs.length < data.total
                ? `${data.runs.length} of ${plural(data.total, "run")}`
                : plural(data.total, "run")}
            </Text>
            {data.runs.length < data.total && data.runs.length < 1000 && (
              <Button variant="default" size="xs" onClick={() => onChange({ more: (search.more ?? 1) + 1 })}>
                Show more
              </Button>
            )}
          </Group>
        </>
      )}
      {picked.length > 0 && <Picked ids={picked} clear={() => onChange({ ids: undefined })} />}
    </Stack>
  );
}

function listOrNothing(ids: string[]): string[] | undefined {
  return ids.length ? ids : undefined;
}
