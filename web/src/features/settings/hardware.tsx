import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { CircleAlert, CircleCheck, Stethoscope, TriangleAlert } from "lucide-react";
import {
  hardwareReportOptions,
  hardwareReportQueryKey,
  lookAtHardwareMutation,
} from "@/api/generated/@tanstack/react-query.gen";
import type { Check } from "@/api/generated/types.gen";
import { ago } from "@/shared/format";
import { Section } from "@/shared/section";
import { RowSkeletons } from "@/shared/skeletons";
import { Empty, Failed } from "@/shared/states";
import classes from "./settings.module.css";

const SIGNS = { ok: CircleCheck, warning: TriangleAlert, problem: CircleAlert };
const WORDS = { ok: "Well", warning: "Worth a look", problem: "Problem" };
const FIRST = { problem: 0, warning: 1, ok: 2 };
const EVERY_MS = 1_000;

/** What `loratory doctor` says of this machine, and what to do about it. */
export function Hardware() {
  const queries = useQueryClient();
  const { data, error, refetch } = useQuery({
    ...hardwareReportOptions(),
    refetchInterval: ({ state }) => (state.data?.state === "running" ? EVERY_MS : false),
  });
  const look = useMutation({
    ...lookAtHardwareMutation(),
    onSuccess: (answer) => queries.setQueryData(hardwareReportQueryKey(), answer),
  });
  if (error && !data) return <Failed error={error} again={refetch} />;
  if (!data) return <RowSkeletons what="the report" rows={5} height={48} />;
  const isRunning = data.state === "running" || look.isPending;
  const button = (
    <Button
      variant={data.state === "none" ? "filled" : "default"}
      leftSection={<Stethoscope size={16} aria-hidden />}
      onClick={() => look.mutate({})}
      loading={isRunning}
    >
      {data.checks.length > 0 ? "Look again" : "Look at this machine"}
    </Button>
  );
  const checks = [...data.checks].sort((a, b) => FIRST[a.status] - FIRST[b.status]);
  return (
    <Section
      title="This machine"
      about={isRunning ? "Looking; it takes some seconds…" : data.time ? `Looked at ${ago(data.time)}.` : undefined}
      actions={checks.length > 0 && button}
    >
      {data.state === "failed" && (
        <Alert color="red" title="The look at this machine failed">
          {data.error}
        </Alert>
      )}
      {checks.length === 0 && (
        <Empty
          icon={Stethoscope}
          title={isRunning ? "Looking at this machine" : "Nobody has looked yet"}
          action={button}
        >
          Loratory looks for graphics cards, memory, disk space and the packages it needs, and says what to do where
          something is missing.
        </Empty>
      )}
      {checks.length > 0 && (
        <Stack component="ul" gap={0} m={0} p={0} style={{ listStyle: "none" }}>
          {checks.map((check) => (
            <Finding key={check.name} check={check} />
          ))}
        </Stack>
      )}
    </Section>
  );
}

function Finding(props: { check: Check }) {
  const { name, status, found, advice } = props.check;
  const Sign = SIGNS[status];
  return (
    <Group component="li" gap="sm" wrap="nowrap" align="flex-start" className={classes.finding}>
      <Sign size={18} className={classes[status]} aria-label={WORDS[status]} role="img" />
      <Stack gap={2} flex={1} miw={0}>
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          <Text span inherit fw={550}>
            {name}
          </Text>{" "}
          <Text span inherit c="dimmed">
            {found}
          </Text>
        </Text>
        {advice && <Text size="sm">{advice}</Text>}
      </Stack>
    </Group>
  );
}
