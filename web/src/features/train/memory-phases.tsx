import { Anchor, Collapse, Stack } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { Plan } from "@/api/generated/types.gen";
import { MemoryBar } from "./memory-bar";

/** The phase that takes the most, against what there is; the others when they are asked for. */
export function MemoryPhases({ plan, limit }: { plan: Plan; limit: number | null }) {
  const [opened, all] = useDisclosure(false);
  const phases = Object.entries(plan.memory_bytes);
  const peak = phases.find(([phase]) => phase === plan.peak_phase) ?? phases[0];
  const most = Math.max(limit ?? 0, plan.peak_bytes);
  const draw = ([phase, parts]: [string, Record<string, number>]) => (
    <MemoryBar key={phase} phase={phase} parts={parts} most={most} limit={limit} />
  );
  if (!peak) return null;
  return (
    <>
      {draw(peak)}
      <Collapse expanded={opened}>
        <Stack gap="xs">{phases.filter((each) => each !== peak).map(draw)}</Stack>
      </Collapse>
      {phases.length > 1 && (
        <Anchor component="button" size="sm" onClick={all.toggle} aria-expanded={opened} style={{ alignSelf: "start" }}>
          {opened ? "Only the most" : `All ${phases.length} phases`}
        </Anchor>
      )}
    </>
  );
}
