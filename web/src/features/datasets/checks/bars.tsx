import { Group, Stack, Text, Title, Tooltip } from "@mantine/core";
import { count } from "@/shared/format";
import classes from "./bars.module.css";

export interface Bar {
  key: string;
  label: string;
  count: number;
}

/** A histogram whose numbers can be read: each bar has its own, and the list reads aloud. */
export function Bars(props: { title: string; bars: readonly Bar[]; about?: string }) {
  const most = Math.max(1, ...props.bars.map((bar) => bar.count));
  return (
    <Stack gap="xs" component="section" aria-label={props.title}>
      <Group justify="space-between" gap="xs">
        <Title order={2} size="h6">
          {props.title}
        </Title>
        {props.about && (
          <Text size="xs" c="dimmed">
            {props.about}
          </Text>
        )}
      </Group>
      <ul className={classes.bars}>
        {props.bars.map((bar) => (
          <Tooltip key={bar.key} label={`${bar.label}: ${count(bar.count)}`} openDelay={100}>
            <li className={classes.bar}>
              <span className={classes.label}>{bar.label}</span>
              <span className={classes.track} aria-hidden>
                {bar.count > 0 && <span className={classes.fill} style={{ width: `${(100 * bar.count) / most}%` }} />}
              </span>
              <span className={classes.count}>{count(bar.count)}</span>
            </li>
          </Tooltip>
        ))}
      </ul>
    </Stack>
  );
}
