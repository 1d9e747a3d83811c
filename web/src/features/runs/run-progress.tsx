import { Group, Paper, Progress, SimpleGrid, Stack, Text } from "@mantine/core";
import { count, duration, memory, significant } from "@/shared/format";
import { stateWord } from "@/shared/jobs";
import { isActive } from "@/shared/run-states";
import { speedText } from "./rows";
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
      best !== null && status.bestStep !== null ? `best ${significant(best)}, step ${count(status.bestStep)}` : "",
    ],
    ["Learning rate", significant(status.learningRate)],
    ["Speed", speedText(status.speed), status.averageSpeed ? `${speedText(status.averageSpeed)} in all` : ""],
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
            <Group justify="space-between" wrap="nowrap">
              <Text size="sm" truncate>
                {[stateWord(status.state).label, status.message].filter(Boolean).join(": ")}
              </Text>
              <Text size="sm" className="numbers">
                {Math.floor(100 * share)} %
              </Text>
            </Group>
            <Progress value={100 * share} aria-label="Steps that are done" />
            <Text size="xs" c="dimmed">
              You can close this page: the training goes on. When it ends, its LoRA file can be downloaded here.
            </Text>
          </Stack>
        )}
        <SimpleGrid cols={{ base: 3, xs: 4, lg: 8 }} spacing="md" verticalSpacing="sm">
          {facts.map(([name, value, more]) => (
            <Stack key={name} gap={0}>
              <Text size="xs" c="dimmed">
                {name}
              </Text>
              <Text fw={600} className="numbers" data-fact={name}>
                {value}
              </Text>
              {more !== undefined && (
                <Text size="xs" c="dimmed" className="numbers" mih="1.2rem" truncate title={more}>
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
