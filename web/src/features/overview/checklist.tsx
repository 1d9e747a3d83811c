import { Button, Group, Progress, Stack, Text, ThemeIcon } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Check, Circle } from "lucide-react";
import { hardwareReportOptions, listDatasetsOptions, listRunsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { useDraft } from "@/shared/draft";
import { AnchorLink } from "@/shared/links";
import { Section } from "@/shared/section";
import { LAST_RUNS } from "./last-runs";
import { stepsOf } from "./steps";

/** The way to the first LoRA; each step ticks itself from what is really there. Gone when all is done. */
export function Checklist() {
  const hidden = useDraft("checklist", 1, false);
  const datasets = useQuery(listDatasetsOptions());
  const runs = useQuery(listRunsOptions(LAST_RUNS));
  const hardware = useQuery(hardwareReportOptions());
  if (hidden.value || !datasets.data || !runs.data || !hardware.data) return null;
  const steps = stepsOf(datasets.data.datasets, runs.data.runs, hardware.data.state);
  if (steps.every((step) => step.isDone || step.isOptional)) return null;
  const done = steps.filter((step) => step.isDone).length;
  const next = steps.find((step) => !step.isDone && !step.isOptional);
  return (
    <Section
      title="Your first LoRA"
      about={`${done} of ${steps.length} steps done`}
      actions={
        <Button variant="subtle" color="gray" c="dimmed" size="compact-sm" onClick={() => hidden.set(true)}>
          Hide
        </Button>
      }
    >
      <Progress value={(100 * done) / steps.length} size="sm" aria-label="Steps done" />
      <Stack component="ol" gap="sm" m={0} p={0} style={{ listStyle: "none" }}>
        {steps.map((step) => (
          <Group key={step.title} component="li" gap="sm" wrap="nowrap" align="flex-start">
            <ThemeIcon
              size={20}
              radius="xl"
              variant={step.isDone ? "light" : "transparent"}
              color={step.isDone ? "green" : "gray"}
            >
              {step.isDone ? <Check size={13} aria-label="done" /> : <Circle size={16} aria-label="to do" />}
            </ThemeIcon>
            <Stack gap={0}>
              {step.isDone ? (
                <Text size="sm" c="dimmed">
                  {step.title}
                </Text>
              ) : (
                <AnchorLink {...step.link} size="sm" fw={step === next ? 650 : 500}>
                  {step.title}
                </AnchorLink>
              )}
              {step === next && (
                <Text size="sm" c="dimmed">
                  {step.about}
                </Text>
              )}
              {step.isOptional && !step.isDone && (
                <Text size="sm" c="dimmed">
                  If you like.
                </Text>
              )}
            </Stack>
          </Group>
        ))}
      </Stack>
    </Section>
  );
}
