import { Group, Paper, Stack, Stepper, Table, Text, Title } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { CircleCheck, CircleDashed } from "lucide-react";
import { getRunPhasesOptions } from "@/api/generated/@tanstack/react-query.gen";
import { count } from "@/shared/format";
import { Failed } from "@/shared/states";
import { criterionWords } from "./criteria";

const EVERY_MS = 3_000;

/** In which phase of alpha a run is, and why it is still there. Nothing for runs without phases. */
export function WhyPhase({ runId, works }: { runId: string; works: boolean }) {
  const { data, error, refetch } = useQuery({
    ...getRunPhasesOptions({ path: { run_id: runId } }),
    refetchInterval: works ? EVERY_MS : false,
  });
  const isPhone = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  if (error) return <Failed error={error} again={refetch} />;
  if (!data?.phases?.length) return null;
  const { phases, current = null, criteria = [], changes = [] } = data;
  const phase = current === null ? undefined : phases[current];
  const isLast = current === phases.length - 1;
  const open = criteria.filter((each) => !each.holds).length;
  return (
    <Paper withBorder p="md" component="section" aria-label="Phases of alpha">
      <Stack gap="md">
        <Title order={2} size="h5">
          Phases of alpha
        </Title>
        <Stepper
          active={current ?? -1}
          size="sm"
          iconSize={32}
          orientation={isPhone ? "vertical" : "horizontal"}
          allowNextStepsSelect={false}
          component="div"
        >
          {phases.map((each) => (
            <Stepper.Step
              key={each.name}
              label={each.name}
              description={`Alpha ${each.alpha}`}
              component="div"
              aria-current={each === phase ? "step" : undefined}
            />
          ))}
        </Stepper>
        {phase === undefined && (
          <Text size="sm" c="dimmed">
            The first phase begins with the first step.
          </Text>
        )}
        {phase && isLast && (
          <Text size="sm">The last phase, {phase.name}, is in force. It lasts until the run ends.</Text>
        )}
        {phase && !isLast && (
          <Stack gap="xs">
            <Title order={3} size="h6">
              Why {works ? "is this run" : "was this run"} still in phase “{phase.name}”?
            </Title>
            <Text size="sm" c="dimmed">
              {open === 0
                ? "Everything holds: the phase ends with one of the next steps."
                : `The phase ends when all of these hold at once; ${count(open)} of ${count(criteria.length)} ${open === 1 ? "does" : "do"} not.`}
            </Text>
            <Table.ScrollContainer minWidth={300}>
              <Table verticalSpacing="xs">
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th>Criterion</Table.Th>
                    <Table.Th ta="right">Now</Table.Th>
                    <Table.Th>Wanted</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {criteria.map((each) => {
                    const words = criterionWords(each);
                    return (
                      <Table.Tr key={each.name}>
                        <Table.Td>
                          <Group gap="xs" wrap="nowrap" align="flex-start">
                            {each.holds ? (
                              <CircleCheck
                                size={18}
                                color="var(--mantine-color-green-text)"
                                role="img"
                                aria-label="Holds"
                              />
                            ) : (
                              <CircleDashed
                                size={18}
                                color="var(--mantine-color-orange-text)"
                                role="img"
                                aria-label="Does not hold"
                              />
                            )}
                            <div>
                              {words.name}
                              {!each.holds && (
                                <Text size="xs" c="dimmed">
                                  {words.advice}
                                </Text>
                              )}
                            </div>
                          </Group>
                        </Table.Td>
                        <Table.Td ta="right" fw={600}>
                          {words.now}
                        </Table.Td>
                        <Table.Td>{words.wanted}</Table.Td>
                      </Table.Tr>
                    );
                  })}
                </Table.Tbody>
              </Table>
            </Table.ScrollContainer>
          </Stack>
        )}
        {changes.length > 0 && (
          <Stack gap={2}>
            {changes.map((each) => (
              <Text key={each.step} size="xs" c="dimmed">
                {each.message}
              </Text>
            ))}
          </Stack>
        )}
      </Stack>
    </Paper>
  );
}
