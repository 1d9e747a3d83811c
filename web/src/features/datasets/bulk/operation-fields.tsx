import { Checkbox, Group, NumberInput, SegmentedControl, Select, TagsInput, Textarea, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { listTagsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { ToUtf8 } from "@/api/generated/types.gen";
import type { Operation } from "./operations";

const OFFERED = 500;
const ENCODINGS: { value: NonNullable<ToUtf8["encoding"]>; label: string }[] = [
  { value: "cp1252", label: "Western European (Windows-1252)" },
  { value: "latin-1", label: "Western European (Latin-1)" },
  { value: "cp1251", label: "Cyrillic (Windows-1251)" },
  { value: "shift_jis", label: "Japanese (Shift-JIS)" },
  { value: "gbk", label: "Simplified Chinese (GBK)" },
  { value: "big5", label: "Traditional Chinese (Big5)" },
  { value: "euc_kr", label: "Korean (EUC-KR)" },
  { value: "utf-16", label: "UTF-16" },
];

/** The fields of one operation. */
export function OperationFields(props: {
  datasetId: string;
  operation: Operation;
  change: (operation: Operation) => void;
}) {
  const { operation, change } = props;
  switch (operation.op) {
    case "trigger":
      return (
        <Group align="flex-end">
          <TextInput
            label="Word"
            flex="1 1 12rem"
            value={operation.word}
            onChange={(event) => change({ ...operation, word: event.currentTarget.value })}
          />
          <Place value={operation.place ?? "first"} change={(place) => change({ ...operation, place })} />
        </Group>
      );
    case "add":
      return (
        <Group align="flex-end">
          <Tags datasetId={props.datasetId} value={operation.tags} change={(tags) => change({ ...operation, tags })} />
          <Place value={operation.place ?? "last"} change={(place) => change({ ...operation, place })} />
        </Group>
      );
    case "remove":
      return (
        <Tags datasetId={props.datasetId} value={operation.tags} change={(tags) => change({ ...operation, tags })} />
      );
    case "replace":
      return (
        <>
          <Group grow preventGrowOverflow={false} wrap="wrap">
            <TextInput
              label="Find"
              value={operation.find}
              onChange={(event) => change({ ...operation, find: event.currentTarget.value })}
              spellCheck={false}
            />
            <TextInput
              label="Replace with"
              value={operation.replace ?? ""}
              onChange={(event) => change({ ...operation, replace: event.currentTarget.value })}
              spellCheck={false}
            />
          </Group>
          <Group mt="sm">
            <Checkbox
              label="Regular expression"
              checked={operation.regex ?? false}
              onChange={(event) => change({ ...operation, regex: event.currentTarget.checked })}
            />
            <Checkbox
              label="Match case"
              checked={operation.match_case ?? false}
              onChange={(event) => change({ ...operation, match_case: event.currentTarget.checked })}
            />
            <Checkbox
              label="Whole tags only"
              checked={operation.whole_tags ?? false}
              onChange={(event) => change({ ...operation, whole_tags: event.currentTarget.checked })}
            />
          </Group>
        </>
      );
    case "sort":
      return (
        <Group align="flex-end">
          <SegmentedControl
            aria-label="Sort by"
            value={operation.by ?? "alphabet"}
            onChange={(by) => change({ ...operation, by: by as "alphabet" | "frequency" })}
            data={[
              { value: "alphabet", label: "Alphabet" },
              { value: "frequency", label: "Frequency" },
            ]}
          />
          <NumberInput
            label="Tags at the beginning that stay"
            min={0}
            max={1000}
            w="14rem"
            value={operation.keep_first ?? 0}
            onChange={(value) => change({ ...operation, keep_first: Number(value) || 0 })}
          />
        </Group>
      );
    case "underscores":
      return (
        <SegmentedControl
          aria-label="Turn into"
          value={operation.to ?? "spaces"}
          onChange={(to) => change({ ...operation, to: to as "spaces" | "underscores" })}
          data={[
            { value: "spaces", label: "Underscores to spaces" },
            { value: "underscores", label: "Spaces to underscores" },
          ]}
        />
      );
    case "set":
      return (
        <Textarea
          label="Caption"
          autosize
          minRows={2}
          value={operation.text}
          onChange={(event) => change({ ...operation, text: event.currentTarget.value })}
        />
      );
    case "replace_caption":
      return (
        <Group grow preventGrowOverflow={false} align="flex-start">
          <Textarea
            label="Captions that are"
            autosize
            minRows={2}
            value={operation.find}
            onChange={(event) => change({ ...operation, find: event.currentTarget.value })}
          />
          <Textarea
            label="Become"
            autosize
            minRows={2}
            value={operation.replace}
            onChange={(event) => change({ ...operation, replace: event.currentTarget.value })}
          />
        </Group>
      );
    case "to_utf8":
      return (
        <Select
          label="They were written in"
          data={ENCODINGS}
          value={operation.encoding ?? "cp1252"}
          onChange={(encoding) => encoding && change({ ...operation, encoding: encoding as ToUtf8["encoding"] })}
          allowDeselect={false}
          maw="22rem"
        />
      );
    default:
      return null;
  }
}

function Place(props: { value: "first" | "last"; change: (place: "first" | "last") => void }) {
  return (
    <SegmentedControl
      aria-label="Where"
      value={props.value}
      onChange={(value) => props.change(value as "first" | "last")}
      data={[
        { value: "first", label: "First" },
        { value: "last", label: "Last" },
      ]}
    />
  );
}

function Tags(props: { datasetId: string; value: string[]; change: (tags: string[]) => void }) {
  const { data } = useQuery(listTagsOptions({ path: { dataset_id: props.datasetId }, query: { limit: OFFERED } }));
  return (
    <TagsInput
      label="Tags"
      flex="1 1 16rem"
      placeholder={props.value.length === 0 ? "Type a tag, then a comma or Enter" : undefined}
      data={data?.tags.map((each) => each.tag) ?? []}
      limit={8}
      value={props.value}
      onChange={props.change}
      acceptValueOnBlur
    />
  );
}
