import { Alert, Anchor, Button, Group, Skeleton, Stack, Text } from "@mantine/core";
import { problemOf } from "@/api/problem";
import type { Form } from "@/forms/form";
import { currentId, useDrafts } from "./drafts";
import { useYaml } from "./use-yaml";
import { goToLine, YamlEditor } from "./yaml-editor";

/** The draft as the text of a job file. What is typed becomes the draft as soon as it can be read. */
export default function YamlView({ form }: { form: Form }) {
  const { text, findings, error, isBroken, type, writeAnew } = useYaml(form, useDrafts(currentId));
  const lines = findings.filter((each) => each.line !== null);
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed">
        The job file: only what was chosen. Changes here and in the form are the same draft; comments stay.
      </Text>
      {error !== null && (
        <Alert color="red" title="The server could not read it">
          {problemOf(error).message} What you typed is kept.
        </Alert>
      )}
      {isBroken && (
        <Alert color="orange" title="This text cannot be read yet">
          <Stack gap="xs" align="flex-start">
            <Text size="sm">
              The draft, and what Start begins, is what the form says. Your text is kept until it can be read.
            </Text>
            <Button size="compact-sm" variant="default" onClick={writeAnew}>
              Write it anew from the form
            </Button>
          </Stack>
        </Alert>
      )}
      {text === null ? (
        <Skeleton h="30rem" />
      ) : (
        <YamlEditor
          text={text}
          marks={lines.map((each) => ({ line: each.line ?? 0, level: each.level }))}
          change={type}
        />
      )}
      {lines.map((each) => (
        <Group key={each.sentence} gap="xs" wrap="nowrap" align="baseline">
          <Anchor
            component="button"
            size="sm"
            className="numbers"
            style={{ flex: "none" }}
            onClick={() => goToLine(each.line ?? 1)}
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
