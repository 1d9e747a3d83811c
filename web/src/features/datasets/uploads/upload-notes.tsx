import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { plural } from "@/shared/format";
import type { Row } from "./store";

const SHOWN = 3;

/** Why files wait: the disk is full, which somebody must mend, or nobody answers, which mends itself. */
export function Waits(props: { halted: string | null; waits: string | null; resume: () => void }) {
  if (props.halted !== null) {
    return (
      <Alert color="red" title="All uploads wait: there is no room on the server" p="sm" role="alert">
        <Stack gap="xs">
          <Text size="sm" style={{ overflowWrap: "anywhere" }}>
            {props.halted}
          </Text>
          <Group>
            <Button size="xs" variant="default" onClick={props.resume}>
              Go on
            </Button>
          </Group>
        </Stack>
      </Alert>
    );
  }
  if (props.waits === null) return null;
  return (
    <Alert color="gray" title="The uploads wait and go on by themselves" p="sm">
      <Text size="sm">{props.waits}</Text>
    </Alert>
  );
}

/** Files that were not taken, each with its reason; the same reason of many is said once. */
export function Failures(props: { failed: readonly Row[] }) {
  const { failed } = props;
  return (
    <Alert color="red" title={`${plural(failed.length, "file")} not taken; all others go on`} p="sm">
      <Stack gap={2}>
        {failed.slice(0, SHOWN).map((row) => (
          <Text key={row.id} size="sm" style={{ overflowWrap: "anywhere" }}>
            {row.path}: {row.problem}
          </Text>
        ))}
        {failed.length > SHOWN && <Text size="sm">And {failed.length - SHOWN} more: show the files to see each.</Text>}
      </Stack>
    </Alert>
  );
}
