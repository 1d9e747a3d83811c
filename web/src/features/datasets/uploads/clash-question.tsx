import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { plural } from "@/shared/format";
import type { Row } from "./store";
import type { Uploader } from "./uploader";

/** Asked once for all files whose names are taken; the others are not kept waiting. */
export function ClashQuestion(props: { clashes: readonly Row[]; uploader: Uploader }) {
  const ids = props.clashes.map((row) => row.id);
  const [first] = props.clashes;
  return (
    <Alert
      color="orange"
      p="sm"
      title={`${plural(ids.length, "file")} ${ids.length === 1 ? "has a name" : "have names"} that the dataset has already`}
    >
      <Stack gap="xs">
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          {first?.path}
          {ids.length > 1 && ` and ${ids.length - 1} more`}. Keeping both puts a number behind the new ones; replaced
          files go to the trash.
        </Text>
        <Group gap="xs">
          <Button size="xs" variant="default" onClick={() => props.uploader.retry(ids, "number")}>
            Keep both
          </Button>
          <Button size="xs" variant="default" onClick={() => props.uploader.retry(ids, "replace")}>
            Replace
          </Button>
          <Button size="xs" variant="default" onClick={() => props.uploader.remove(ids)}>
            Skip
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}
