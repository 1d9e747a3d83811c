import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { DiffText } from "../diff-text";
import type { CaptionDraft } from "./drafts";
import { wordsDiff } from "./words-diff";

/** Somebody else, or another tab, saved this caption first: what differs, and whose text shall stay. */
export function StaleCaption(props: { draft: CaptionDraft; mine: () => void; theirs: () => void }) {
  const { draft } = props;
  return (
    <Alert color="orange" title="This caption was changed elsewhere" role="alert">
      <Stack gap="xs">
        <Text size="sm">
          Nothing is lost: yours is kept here until you choose. Underlined is only in yours, struck through only in the
          saved one.
        </Text>
        <DiffText pieces={wordsDiff(draft.theirs?.text ?? "", draft.text)} />
        <Group gap="xs">
          <Button size="xs" onClick={props.mine}>
            Save mine
          </Button>
          <Button size="xs" variant="default" onClick={props.theirs}>
            Take the saved one
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}
