import { Alert, Button, Group, SegmentedControl, Skeleton, Stack, Text, Textarea } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { readCaptionOptions } from "@/api/generated/@tanstack/react-query.gen";
import { plural } from "@/shared/format";
import { Failed } from "@/shared/states";
import { bringBack, type CaptionDraft, keepMine, keyOf, saveNow, takeTheirs, type, useDrafts } from "./drafts";
import { History } from "./history";
import { StaleCaption } from "./stale-caption";
import { TagChips } from "./tag-chips";
import { parseTags } from "./tags";

/** One caption, as chips or as text, which saves itself. */
export function CaptionEditor(props: {
  datasetId: string;
  item: string;
  as: "tags" | "text";
  setAs: (as: "tags" | "text") => void;
  /** The field is typed into as soon as it is there. */
  isTyping: boolean;
  filter: (tag: string) => void;
}) {
  const { datasetId, item } = props;
  const queries = useQueryClient();
  const [showsHistory, setShowsHistory] = useState(false);
  const { data, error, isPending, refetch } = useQuery(
    readCaptionOptions({ path: { dataset_id: datasetId }, query: { item } }),
  );
  const draft = useDrafts((state) => state.drafts[keyOf(datasetId, item)]);
  useEffect(() => {
    bringBack(queries, datasetId, item);
    return () => saveNow(queries, datasetId, item);
  }, [queries, datasetId, item]);

  if (error && !data) return <Failed error={error} again={refetch} />;
  if (isPending && !draft) return <Skeleton h="14rem" role="status" aria-label="Loading the caption" />;
  if (data?.problem && !draft) {
    return (
      <Alert color="orange" title="This caption is not changed here">
        {data.problem}
      </Alert>
    );
  }
  const text = draft?.text ?? data?.text ?? "";
  const change = (next: string) => type(queries, datasetId, item, next, data?.version ?? draft?.basedOn ?? "");
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <SegmentedControl
          size="xs"
          aria-label="Edit the caption as"
          value={props.as}
          onChange={(as) => props.setAs(as as "tags" | "text")}
          data={[
            { value: "tags", label: "Tags" },
            { value: "text", label: "Text" },
          ]}
        />
        <Saved draft={draft} again={() => saveNow(queries, datasetId, item)} />
      </Group>
      {draft?.state === "stale" && (
        <StaleCaption
          draft={draft}
          mine={() => keepMine(queries, datasetId, item)}
          theirs={() => void takeTheirs(queries, datasetId, item)}
        />
      )}
      {props.as === "tags" ? (
        <TagChips
          datasetId={datasetId}
          item={item}
          text={text}
          change={change}
          autoFocus={props.isTyping}
          filter={props.filter}
        />
      ) : (
        <Textarea
          label="Caption"
          value={text}
          autoFocus={props.isTyping}
          onFocus={({ currentTarget }) => {
            if (props.isTyping) currentTarget.setSelectionRange(text.length, text.length);
          }}
          onChange={(event) => change(event.currentTarget.value)}
          autosize
          minRows={6}
          maxRows={16}
          placeholder="What is to be seen, in words"
        />
      )}
      <Group justify="space-between">
        <Text size="xs" c="dimmed" className="numbers">
          {plural(parseTags(text).flat().length, "tag")} · {plural(text.split(/\s+/).filter(Boolean).length, "word")}
        </Text>
        <Button
          size="compact-xs"
          variant="subtle"
          aria-expanded={showsHistory}
          onClick={() => setShowsHistory(!showsHistory)}
        >
          {showsHistory ? "Hide history" : "History"}
        </Button>
      </Group>
      {showsHistory && (
        <History
          datasetId={datasetId}
          item={item}
          version={data?.version ?? ""}
          text={data?.text ?? null}
          isTyped={draft !== undefined}
        />
      )}
    </Stack>
  );
}

function Saved(props: { draft: CaptionDraft | undefined; again: () => void }) {
  const { draft } = props;
  if (draft?.state === "failed") {
    return (
      <Group gap="xs" role="alert">
        <Text size="xs" c="var(--said-error)">
          Not saved: {draft.problem}
        </Text>
        <Button size="compact-xs" variant="default" onClick={props.again}>
          Save now
        </Button>
      </Group>
    );
  }
  const said = !draft ? "Saved" : draft.state === "stale" ? "Not saved" : "Saving…";
  return (
    <Text size="xs" c="dimmed" role="log" aria-live="polite">
      {said}
    </Text>
  );
}
