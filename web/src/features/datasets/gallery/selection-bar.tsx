import { Button, Group, Text } from "@mantine/core";
import { plural } from "@/shared/format";

/** What can be done with the pictures that are chosen. It keeps its place when nothing is, so that nothing jumps. */
export function SelectionBar(props: {
  chosen: number;
  total: number;
  isFiltered: boolean;
  all: () => void;
  invert: () => void;
  none: () => void;
  edit: () => void;
  copy: () => void;
  remove: () => void;
}) {
  const { chosen, total } = props;
  return (
    <Group justify="space-between" gap="xs" mih="2rem" role="toolbar" aria-label="Chosen pictures">
      <Text
        size="sm"
        className="numbers"
        aria-live="polite"
        c={chosen ? undefined : "dimmed"}
        fw={chosen ? 600 : undefined}
      >
        {chosen > 0
          ? `${plural(chosen, "picture")} chosen`
          : `${plural(total, "picture")}${props.isFiltered ? " found" : ""}`}
      </Text>
      <Group gap={4}>
        {chosen > 0 && (
          <>
            <Button size="compact-sm" variant="light" onClick={props.edit}>
              Edit captions
            </Button>
            <Button size="compact-sm" variant="light" onClick={props.copy}>
              Crop, rotate, convert
            </Button>
            <Button size="compact-sm" variant="light" color="red" c="var(--said-error)" onClick={props.remove}>
              Move to trash
            </Button>
            <Button size="compact-sm" variant="subtle" onClick={props.invert}>
              Invert
            </Button>
            <Button size="compact-sm" variant="subtle" onClick={props.none}>
              Choose none
            </Button>
          </>
        )}
        {chosen < total && (
          <Button size="compact-sm" variant="subtle" onClick={props.all}>
            Choose all
          </Button>
        )}
      </Group>
    </Group>
  );
}
