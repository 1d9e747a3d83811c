import { Alert, Button, Group, Paper, Stack, TagsInput, Text, Textarea } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRunQueryKey, listRunsOptions, writeRunNotesMutation } from "@/api/generated/@tanstack/react-query.gen";
import type { RunDetail, RunNotes } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { useDraft } from "@/shared/draft";

/** A person's words about a run. What is typed is kept until it is saved, and another tab's words are never lost. */
export function NotesCard({ runId, saved }: { runId: string; saved: RunNotes }) {
  const queries = useQueryClient();
  const known = useQuery(listRunsOptions({ query: { limit: 1 } }));
  const draft = useDraft(`notes/${runId}`, 1, saved);
  const { notes, tags, version } = draft.value;
  const write = useMutation({
    ...writeRunNotesMutation(),
    meta: { tellsItself: true },
    onSuccess: (now) => {
      queries.setQueryData<RunDetail>(
        getRunQueryKey({ path: { run_id: runId } }),
        (run) => run && { ...run, notes: now, facts: { ...run.facts, tags: now.tags } },
      );
      draft.clear();
    },
  });
  const problem = write.error ? problemOf(write.error) : null;
  const other = problem?.code === "stale" ? (problem.more.now as RunNotes | undefined) : undefined;
  const isChanged = draft.isDraft && (notes !== saved.notes || tags.join("\n") !== saved.tags.join("\n"));
  const save = (base = version) => write.mutate({ path: { run_id: runId }, body: { notes, tags, version: base } });
  return (
    <Paper withBorder p="md" component="section" aria-label="Notes and tags">
      <Stack gap="sm">
        <TagsInput
          label="Tags"
          placeholder={tags.length ? undefined : "Type one and press Enter"}
          value={tags}
          onChange={(next) => draft.set((before) => ({ ...before, tags: next }))}
          data={Object.keys(known.data?.tags ?? {})}
          maxDropdownHeight={200}
        />
        <Textarea
          label="Notes"
          placeholder="What was tried, what came of it"
          autosize
          minRows={2}
          maxRows={12}
          value={notes}
          onChange={(event) => {
            const text = event.currentTarget.value;
            draft.set((before) => ({ ...before, notes: text }));
          }}
        />
        {other && (
          <Alert color="orange" title="Somebody else changed them meanwhile">
            <Stack gap="xs" align="flex-start">
              <Text size="sm" style={{ whiteSpace: "pre-wrap" }}>
                {other.notes || "No notes"} {other.tags.length > 0 && `(tags: ${other.tags.join(", ")})`}
              </Text>
              <Group gap="xs">
                <Button size="xs" onClick={() => save(other.version)}>
                  Save mine instead
                </Button>
                <Button
                  size="xs"
                  variant="default"
                  onClick={() =>
                    draft.set((mine) => ({
                      notes: `${other.notes}\n${mine.notes}`.trim(),
                      tags: [...new Set([...other.tags, ...mine.tags])],
                      version: other.version,
                    }))
                  }
                >
                  Join both
                </Button>
                <Button
                  size="xs"
                  variant="default"
                  onClick={() => {
                    draft.clear();
                    write.reset();
                    void queries.invalidateQueries({ queryKey: getRunQueryKey({ path: { run_id: runId } }) });
                  }}
                >
                  Take theirs
                </Button>
              </Group>
            </Stack>
          </Alert>
        )}
        {problem && !other && (
          <Text size="sm" c="var(--said-error)" role="alert">
            {problem.message}
          </Text>
        )}
        <Group justify="flex-end" gap="xs" mih={30}>
          {isChanged && (
            <>
              <Button size="xs" variant="default" onClick={draft.clear}>
                Discard
              </Button>
              <Button size="xs" onClick={() => save()} loading={write.isPending}>
                Save
              </Button>
            </>
          )}
        </Group>
      </Stack>
    </Paper>
  );
}
