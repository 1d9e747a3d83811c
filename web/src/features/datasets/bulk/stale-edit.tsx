import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { problemOf } from "@/api/problem";

/** An edit that was not carried out: captions that changed meanwhile are a choice, the rest is a sentence. */
export function StaleEdit(props: { error: unknown; isPending: boolean; skip: () => void; again: () => void }) {
  const problem = problemOf(props.error);
  return (
    <Alert color={problem.code === "stale" ? "orange" : "red"} title="No caption was changed" role="alert">
      <Stack gap="xs">
        <Text size="sm">{problem.message}</Text>
        <Group gap="xs">
          <Button size="xs" variant="default" onClick={props.again}>
            Work out the changes anew
          </Button>
          {problem.code === "stale" && (
            <Button size="xs" variant="default" loading={props.isPending} onClick={props.skip}>
              Leave those out
            </Button>
          )}
        </Group>
      </Stack>
    </Alert>
  );
}
