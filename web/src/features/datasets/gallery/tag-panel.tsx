import { Group, SegmentedControl, Skeleton, Stack, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Search } from "lucide-react";
import { type MouseEvent, useState } from "react";
import { Virtuoso } from "react-virtuoso";
import { listTagsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { count, plural } from "@/shared/format";
import { Failed } from "@/shared/states";
import { type Click, clicked, stateOf } from "./query-edit";
import classes from "./tag-panel.module.css";

const MOST = 1000;

/** The dataset's tags by frequency. A click asks for one; Alt or the right button leaves it out. */
export function TagPanel(props: { datasetId: string; query: string; onQuery: (query: string) => void }) {
  const [start, setStart] = useState("");
  const [how, setHow] = useState<Click>("and");
  const [wanted] = useDebouncedValue(start.trim(), 150);
  const { data, error, refetch } = useQuery({
    ...listTagsOptions({ path: { dataset_id: props.datasetId }, query: { start: wanted, limit: MOST } }),
    placeholderData: keepPreviousData,
  });
  function onClick(event: MouseEvent, tag: string) {
    event.preventDefault();
    const click: Click = event.altKey || event.type === "contextmenu" ? "not" : how;
    props.onQuery(clicked(props.query, tag, click));
  }
  return (
    <Stack gap="xs" h="100%" component="section" aria-label="Tags">
      <Group justify="space-between" wrap="nowrap">
        <Text size="sm" fw={600}>
          Tags
        </Text>
        <SegmentedControl
          size="xs"
          aria-label="Pictures with all, any or none of the tags"
          value={how}
          onChange={(value) => setHow(value as Click)}
          data={[
            { value: "and", label: "All" },
            { value: "or", label: "Any" },
            { value: "not", label: "None" },
          ]}
        />
      </Group>
      <TextInput
        size="xs"
        aria-label="Search tags"
        placeholder="Search tags"
        leftSection={<Search size={14} aria-hidden />}
        value={start}
        onChange={(event) => setStart(event.currentTarget.value)}
      />
      {error ? (
        <Failed error={error} again={refetch} />
      ) : !data ? (
        <Stack gap={6} role="status" aria-label="Loading tags">
          <Skeleton h={22} />
          <Skeleton h={22} w="80%" />
          <Skeleton h={22} w="60%" />
        </Stack>
      ) : (
        <>
          <Text size="xs" c="dimmed" className="numbers" aria-live="polite">
            {data.total > data.tags.length
              ? `The ${count(data.tags.length)} most frequent of ${count(data.total)}`
              : plural(data.total, "tag")}
            <Text span inherit visibleFrom="md">
              . Alt-click leaves one out.
            </Text>
          </Text>
          <Virtuoso
            style={{ flex: 1, minHeight: "8rem" }}
            data={data.tags}
            computeItemKey={(_, each) => each.tag}
            tabIndex={-1}
            itemContent={(_, each) => {
              const state = stateOf(props.query, each.tag);
              return (
                <button
                  type="button"
                  className={classes.tag}
                  data-state={state ?? undefined}
                  aria-pressed={state !== null}
                  onClick={(event) => onClick(event, each.tag)}
                  onContextMenu={(event) => onClick(event, each.tag)}
                  title={each.tag}
                >
                  <span className={classes.name}>
                    {state === "not" && "not "}
                    {each.tag}
                  </span>
                  <span className={classes.count}>{count(each.count)}</span>
                </button>
              );
            }}
          />
        </>
      )}
    </Stack>
  );
}
