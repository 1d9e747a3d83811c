import { Stack, Text } from "@mantine/core";
import type { NoteOut } from "@/api/generated/types.gen";

const HEADS: Readonly<Record<string, string>> = {
  unsupported: "Cannot be said",
  unknown: "Not known here",
  secret: "Tokens",
  dead: "Had no effect",
  ignored: "Left out, without effect on the training",
  mapped: "Taken over in other words",
  default: "Filled in",
};

/** What became of each key, the important first; long lists are folded. */
export function Notes({ notes }: { notes: readonly NoteOut[] }) {
  const levels = Object.keys(HEADS).filter((level) => notes.some((each) => each.level === level));
  return (
    <Stack gap="xs">
      {levels.map((level, i) => {
        const inside = notes.filter((each) => each.level === level);
        return (
          <details key={level} open={i === 0 && inside.length < 12}>
            <Text component="summary" size="sm" fw={600} style={{ cursor: "pointer" }}>
              {HEADS[level]} ({inside.length})
            </Text>
            <Stack component="ul" gap={2} my={4} ps="md">
              {inside.map((each) => (
                <Text component="li" key={each.key + each.message} size="sm" style={{ overflowWrap: "anywhere" }}>
                  <b>{each.key}</b> {each.message}
                </Text>
              ))}
            </Stack>
          </details>
        );
      })}
    </Stack>
  );
}
