import { Alert, Anchor, Group, Stack, Text } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useStore } from "zustand";
import { checkConfigDraft, writeConfigYaml } from "@/api/generated/sdk.gen";
import { problemOf } from "@/api/problem";
import type { Form } from "@/forms/form";
import { isPlain } from "@/forms/paths";
import { dropDraft, readDraft, writeDraft } from "@/shared/draft";
import { currentId, useDrafts } from "./drafts";
import type { FindingOut } from "./use-server-says";
import { YamlEditor } from "./yaml-editor";

const VERSION = 1;
const SOON_MS = 350;

/** The draft as the text of a job file. What is typed becomes the draft as soon as it can be read. */
export default function YamlView({ form }: { form: Form }) {
  const id = useDrafts(currentId);
  const kept = `train-yaml:${id}`;
  const data = useStore(form.store, (state) => state.data);
  const broken = useRef(readDraft<string>(kept, VERSION));
  // What the text stands for: while it is the draft, the text is not written anew under somebody's hands.
  const standsFor = useRef<unknown>(broken.current === undefined ? null : data);
  const [text, setText] = useState(broken.current ?? "");
  const [findings, setFindings] = useState<readonly FindingOut[]>([]);
  const [error, setError] = useState<unknown>(null);
  const asked = useRef(0);
  const written = useQuery({
    queryKey: ["yaml", data],
    queryFn: async ({ signal }) => (await writeConfigYaml({ body: { data }, signal })).data.text,
    enabled: standsFor.current !== data,
    gcTime: 0,
  });
  useEffect(() => {
    if (written.data === undefined || standsFor.current === data) return;
    standsFor.current = data;
    setText(written.data);
    asked.current += 1;
    const mine = asked.current;
    checkConfigDraft({ body: { text: written.data } })
      .then(({ data: said }) => mine === asked.current && setFindings(said.findings))
      .catch(setError);
  }, [written.data, data]);

  const read = useDebouncedCallback(async (typed: string) => {
    asked.current += 1;
    const mine = asked.current;
    try {
      const { data: said } = await checkConfigDraft({ body: { text: typed } });
      if (mine !== asked.current) return;
      setError(null);
      setFindings(said.findings);
      if (!isPlain(said.data)) {
        writeDraft(kept, VERSION, typed);
        return;
      }
      dropDraft(kept);
      standsFor.current = said.data;
      form.replace(said.data);
      standsFor.current = form.state.data;
    } catch (thrown) {
      writeDraft(kept, VERSION, typed);
      setError(thrown);
    }
  }, SOON_MS);
  // What was kept broken is looked at again, so that its mistake is shown.
  useEffect(() => {
    if (broken.current !== undefined) read(broken.current);
  }, [read]);

  const failure = error ?? written.error;
  const lines = findings.filter((each) => each.line !== null);
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed">
        The job file: only what was chosen. Changes here and in the form are the same draft.
      </Text>
      {failure !== null && (
        <Alert color="red" title="The server could not read it">
          {problemOf(failure).message} What you typed is kept.
        </Alert>
      )}
      <YamlEditor
        text={text}
        marks={lines.map((each) => ({ line: each.line ?? 0, level: each.level }))}
        change={(typed) => {
          setText(typed);
          writeDraft(kept, VERSION, typed);
          read(typed);
        }}
      />
      {lines.map((each) => (
        <Group key={each.sentence} gap="xs" wrap="nowrap" align="baseline">
          <Anchor
            component="button"
            size="sm"
            className="numbers"
            style={{ flex: "none" }}
            onClick={() => document.dispatchEvent(new CustomEvent("yaml-line", { detail: each.line }))}
          >
            Line {each.line}
          </Anchor>
          <Text size="sm" c={each.level === "note" ? "dimmed" : `var(--said-${each.level})`}>
            {each.sentence}
          </Text>
        </Group>
      ))}
    </Stack>
  );
}
