import { CloseButton, Group, Paper, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { count } from "@/shared/format";
import { StateBadge } from "@/shared/state-badge";
import classes from "./compare.module.css";
import type { ComparedRun } from "./compared";

interface Props {
  runs: readonly ComparedRun[];
  remove: (id: string) => void;
}

/** The runs that are compared, each with its colour. */
export function RunChips({ runs, remove }: Props) {
  return (
    <Group component="ul" gap="xs" className={classes.chips} aria-label="Compared runs">
      {runs.map((run) => {
        const { facts } = run.detail;
        return (
          <Paper key={run.id} component="li" withBorder className={classes.chip}>
            <span className={classes.swatch} style={{ background: run.color }} />
            <Link to="/runs/$runId" params={{ runId: run.id }} className={classes.name} title={facts.path}>
              {run.label}
            </Link>
            <StateBadge state={facts.state} />
            <Text size="xs" c="dimmed" className="numbers">
              {count(facts.step)} / {count(facts.total_steps)}
            </Text>
            {runs.length > 1 && (
              <CloseButton size="sm" aria-label={`Leave out ${run.label}`} onClick={() => remove(run.id)} />
            )}
          </Paper>
        );
      })}
    </Group>
  );
}
