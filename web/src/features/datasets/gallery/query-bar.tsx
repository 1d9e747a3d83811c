import {
  ActionIcon,
  Group,
  Popover,
  SegmentedControl,
  Select,
  Stack,
  Table,
  Text,
  TextInput,
  Tooltip,
} from "@mantine/core";
import { ArrowDownNarrowWide, ArrowUpNarrowWide, CircleHelp, Search, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { problemOf } from "@/api/problem";
import { useShortcut } from "@/shared/shortcuts";
import type { CardSize } from "./gallery";
import type { Asked, Sort } from "./pictures-page";
import classes from "./query-bar.module.css";

const LATER_MS = 250;

const SORTS: { value: Sort; label: string }[] = [
  { value: "path", label: "By folder" },
  { value: "name", label: "By name" },
  { value: "changed", label: "By date" },
  { value: "pixels", label: "By pixels" },
  { value: "bytes", label: "By file size" },
  { value: "tags", label: "By number of tags" },
  { value: "caption", label: "By caption" },
];

const EXAMPLES: [string, string][] = [
  ["tag:dog -tag:cat", "with one tag, without another"],
  ["tag:dog OR tag:cat", "with one of both"],
  ["tag:*hair", "tags that look so"],
  ['caption:"at night"', "a text in the caption"],
  ["name:IMG_*.jpg", "by file name"],
  ["size:>=1024", "the shorter side in pixels"],
  ["untagged", "without a caption"],
];

/** Which pictures are shown, and how. A mistake is told under the letters that make it. */
export function QueryBar(props: {
  asked: Asked;
  size: CardSize;
  /** What is wrong with the query. */
  error: unknown;
  change: (to: Partial<Asked & { size: CardSize }>) => void;
}) {
  const [typed, setTyped] = useState(props.asked.query);
  const sent = useRef(props.asked.query);
  const input = useRef<HTMLInputElement>(null);
  const { change } = props;
  useShortcut("/", "Search pictures", () => input.current?.focus(), { group: "Pictures" });
  // A click on a tag, or the browser's way back, changes the query from outside.
  useEffect(() => {
    if (props.asked.query === sent.current) return;
    sent.current = props.asked.query;
    setTyped(props.asked.query);
  }, [props.asked.query]);
  useEffect(() => {
    if (typed === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = typed;
      change({ query: typed });
    }, LATER_MS);
    return () => clearTimeout(timer);
  }, [typed, change]);
  const problem = props.error ? problemOf(props.error) : null;
  return (
    <Stack gap={4}>
      <Group gap="xs" wrap="wrap" align="flex-start">
        <TextInput
          ref={input}
          flex="1 1 14rem"
          aria-label="Search pictures"
          placeholder="Search: dog, tag:dog, untagged, size:>=1024"
          leftSection={<Search size={16} aria-hidden />}
          rightSectionWidth={typed ? 62 : 34}
          rightSection={
            <Group gap={2} wrap="nowrap">
              {typed && (
                <ActionIcon variant="subtle" color="gray" aria-label="Show all pictures" onClick={() => setTyped("")}>
                  <X size={14} aria-hidden />
                </ActionIcon>
              )}
              <Help />
            </Group>
          }
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
          error={problem !== null}
          aria-describedby={problem ? "query-error" : undefined}
          spellCheck={false}
          autoComplete="off"
        />
        <Group gap={4} wrap="nowrap">
          <Select
            aria-label="Sort"
            data={SORTS}
            value={props.asked.sort}
            onChange={(sort) => sort && change({ sort: sort as Sort })}
            allowDeselect={false}
            w="10rem"
          />
          <Tooltip label={props.asked.order === "up" ? "Smallest first" : "Largest first"}>
            <ActionIcon
              variant="default"
              size={36}
              aria-label={props.asked.order === "up" ? "Smallest first" : "Largest first"}
              onClick={() => change({ order: props.asked.order === "up" ? "down" : "up" })}
            >
              {props.asked.order === "up" ? (
                <ArrowUpNarrowWide size={16} aria-hidden />
              ) : (
                <ArrowDownNarrowWide size={16} aria-hidden />
              )}
            </ActionIcon>
          </Tooltip>
        </Group>
        <SegmentedControl
          aria-label="Size of pictures"
          data={[
            { value: "s", label: "S" },
            { value: "m", label: "M" },
            { value: "l", label: "L" },
          ]}
          value={props.size}
          onChange={(size) => change({ size: size as CardSize })}
        />
      </Group>
      {problem && (
        <Text size="sm" c="var(--said-error)" id="query-error" role="alert">
          <Marked query={typed} start={Number(problem.more.start)} end={Number(problem.more.end)} /> {problem.message}
        </Text>
      )}
    </Stack>
  );
}

/** The query with the letters that are wrong underlined. */
function Marked(props: { query: string; start: number; end: number }) {
  const { query, start } = props;
  if (!(start >= 0) || start > query.length) return null;
  const end = Math.max(props.end, start + 1);
  return (
    <code className={classes.query}>
      {query.slice(0, start)}
      <mark>{query.slice(start, end) || " "}</mark>
      {query.slice(end)}
    </code>
  );
}

function Help() {
  return (
    <Popover position="bottom-end" withArrow shadow="md" width={340}>
      <Popover.Target>
        <ActionIcon variant="subtle" color="gray" aria-label="How to search">
          <CircleHelp size={16} aria-hidden />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown>
        <Text size="sm" mb="xs">
          Conditions side by side must all hold. Use OR, NOT and brackets for more.
        </Text>
        <Table fz="xs" verticalSpacing={3} withRowBorders={false}>
          <Table.Tbody>
            {EXAMPLES.map(([query, means]) => (
              <Table.Tr key={query}>
                <Table.Td>
                  <code>{query}</code>
                </Table.Td>
                <Table.Td>{means}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Popover.Dropdown>
    </Popover>
  );
}
