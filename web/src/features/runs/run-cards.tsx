import { Badge, Checkbox, Group, Paper, Progress, Stack, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Facts } from "@/api/generated/types.gen";
import { ago, count, duration, significant } from "@/shared/format";
import { isActive } from "@/shared/run-states";
import { StateBadge } from "@/shared/state-badge";
import { type RowsProps, secondsOf, shareOf, speedText } from "./rows";
import { RunThumb } from "./run-thumb";
import classes from "./runs.module.css";

/** What is known of its numbers, in a line; a run that waits has none. */
function numbersOf(run: Facts): string {
  const seconds = secondsOf(run);
  const known = [
    run.step !== null && `Step ${count(run.step)} of ${count(run.total_steps)}`,
    run.loss !== null && `loss ${significant(run.loss)}`,
    seconds !== null && duration(seconds),
    run.iterations_per_second !== null && speedText(run.iterations_per_second),
  ];
  return known.filter(Boolean).join(" · ");
}

/** The list on a phone. */
export function RunCards({ runs, picked, pick }: RowsProps) {
  return (
    <Stack gap="sm">
      {runs.map((run) => {
        const share = shareOf(run);
        return (
          <Paper key={run.id} withBorder p="sm">
            <Group gap="sm" wrap="nowrap" align="flex-start">
              <RunThumb run={run} size={64} />
              <Stack gap={4} flex={1} miw={0}>
                <Group justify="space-between" wrap="nowrap" gap="xs" align="flex-start">
                  <Text component={Link} to={`/runs/${run.id}`} className={classes.name} size="sm">
                    {run.name}
                  </Text>
                  <Checkbox
                    size="md"
                    aria-label={`Select ${run.name}`}
                    checked={picked.includes(run.id)}
                    onChange={(event) => pick(run.id, event.currentTarget.checked)}
                  />
                </Group>
                <Group gap="xs">
                  <StateBadge state={run.state} />
                  <Text size="xs" c="dimmed">
                    {ago(run.created)}
                  </Text>
                </Group>
                <Text size="xs" className="numbers">
                  {numbersOf(run)}
                </Text>
                {isActive(run.state) && share !== null && (
                  <Progress value={100 * share} size={4} aria-label={`${run.name}: ${Math.round(100 * share)} %`} />
                )}
                {run.tags.length > 0 && (
                  <Group gap={4}>
                    {run.tags.map((tag) => (
                      <Badge key={tag} variant="default" size="sm" tt="none" fw={500}>
                        {tag}
                      </Badge>
                    ))}
                  </Group>
                )}
                {(run.error || run.notes) && (
                  <Text size="xs" c={run.error ? "var(--said-error)" : "dimmed"} lineClamp={2}>
                    {run.error ?? run.notes}
                  </Text>
                )}
              </Stack>
            </Group>
          </Paper>
        );
      })}
    </Stack>
  );
}
