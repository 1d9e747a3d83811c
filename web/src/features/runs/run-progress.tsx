import { Group, Paper, Progress, SimpleGrid, Stack, Text } from "@mantine/core";
import { count, duration, memory, significant } from "@/shared/format";
import { isActive } from "@/shared/run-states";
import type { RunStatus } from "./status";

/** How far a run is, and its newest numbers. The same boxes whether they are known or not, so that nothing jumps. */
export function RunProgress({ status, took }: { status: RunStatus; took: number | null }) {
  const works = isActive(status.state);
  const share = status.step !== null && status.totalSteps ? status.step / status.totalSteps : 0;
  const best = status.bestValidationLoss;
  const facts: [string, string, string?][] = [
    ["Step", count(status.step), `of ${count(status.totalSteps)}`],
    ["Epoch", count(status.epoch)],
    ["Loss", significant(status.loss)],
    [
      "Validation loss",
      significant(status.validationLoss),
      best !== null && status.bestStep !== null
        ? `best ${significant(best)}, step ${count(status.bestStep)}`
        : undefined,
    ],
    ["Learning rate", significant(status.learningRate)],
    ["Speed", speed(status.speed), status.averageSpeed ? `${speed(status.averageSpeed)} with pauses` : undefined],
    works ? ["Time left", duration(status.etaSeconds)] : ["Took", duration(took)],
    status.deviceMib !== null
      ? ["Memory of the card", memory(status.deviceMib * 2 ** 20)]
      : ["Memory", memory(status.processMib === null ? null : status.processMib * 2 ** 20)],
  ];
  return (
    <Paper withBorder p="md" component="section" aria-label="Progress">
      <Stack gap="sm">
        {works && (
          <Stack gap={4}>
            <Group justify="space-between">
              <Text size="sm">{status.message ?? "Working"}</Text>
              <Text size="sm" className="numbers">
                {Math.floor(100 * share)} %
              </Text>
            </Group>
            <Progress value={100 * share} aria-label="Steps that are done" animated />
            <Text size="xs" c="dimmed">
              You can close this page: the training goes on. When it ends, its LoRA file can be downloaded here.
            </Text>
          </Stack>
        )}
        <SimpleGrid cols={{ base: 2, xs: 4, lg: 8 }} spacing="md" verticalSpacing="sm">
          {facts.map(([name, value, more]) => (
            <Stack key={name} gap={0}>
              <Text size="xs" c="dimmed">
                {name}
              </Text>
              <Text fw={600} className="numbers">
                {value}
              </Text>
              {more && (
                <Text size="xs" c="dimmed" className="numbers">
                  {more}
                </Text>
              )}
            </Stack>
          ))}
        </SimpleGrid>
      </Stack>
    </Paper>
  );
}

/** Steps per second, or the other way round where one takes longer. */
function speed(perSecond: number | null): string {
  if (!perSecond) return "–";
  return perSecond >= 1 ? `${perSecond.toFixed(2)} steps/s` : `${(1 / perSecond).toFixed(2)} s/step`;
}
