import { ActionIcon, Group, NumberInput, Paper, Select, Stack, Text } from "@mantine/core";
import { ArrowDown, ArrowUp, X } from "lucide-react";
import { labelOf, STEPS, type Step } from "./steps";

/** What is done to each picture, one step after the other. */
export function StepList(props: { steps: readonly Step[]; change: (steps: Step[]) => void }) {
  const { steps, change } = props;
  function move(place: number, by: number) {
    const moved = [...steps];
    const [step] = moved.splice(place, 1);
    if (step) moved.splice(place + by, 0, step);
    change(moved);
  }
  return (
    <Stack gap="xs" component="section" aria-label="Steps">
      <Select
        label="Add a step"
        description="Done one after the other, from top to bottom"
        placeholder="Turn, mirror, crop or shrink"
        data={STEPS.map((each) => each.label)}
        value={null}
        onChange={(label) => {
          const found = STEPS.find((each) => each.label === label);
          if (found) change([...steps, found.step]);
        }}
        maw="24rem"
      />
      {steps.map((step, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the same step may be there twice, its place is what it is
        <Paper key={place} withBorder p="xs">
          <Group justify="space-between" wrap="nowrap">
            <Group gap="sm">
              <Text size="sm" className="numbers">
                {place + 1}. {labelOf(step)}
              </Text>
              {step.op === "shrink" && (
                <NumberInput
                  size="xs"
                  aria-label="Longest side in pixels"
                  min={8}
                  max={65536}
                  step={64}
                  w="7rem"
                  value={step.longest_side}
                  onChange={(side) => {
                    if (typeof side !== "number" || side < 8) return;
                    change(steps.map((each, at) => (at === place ? { ...step, longest_side: side } : each)));
                  }}
                />
              )}
            </Group>
            <Group gap={4} wrap="nowrap">
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label="Earlier"
                disabled={place === 0}
                onClick={() => move(place, -1)}
              >
                <ArrowUp size={14} aria-hidden />
              </ActionIcon>
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label="Later"
                disabled={place === steps.length - 1}
                onClick={() => move(place, 1)}
              >
                <ArrowDown size={14} aria-hidden />
              </ActionIcon>
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label="Remove this step"
                onClick={() => change(steps.filter((_, at) => at !== place))}
              >
                <X size={14} aria-hidden />
              </ActionIcon>
            </Group>
          </Group>
        </Paper>
      ))}
    </Stack>
  );
}
