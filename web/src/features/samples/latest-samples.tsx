import { Anchor, Group, Paper, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { listRunSamplesOptions } from "@/api/generated/@tanstack/react-query.gen";
import { Failed } from "@/shared/states";
import { StepSlider } from "@/shared/step-slider";
import { nearest } from "@/shared/steps";
import { type SamplesSearch, shownOf } from "./shown";
import { StepSamples } from "./step-samples";

interface Props {
  runId: string;
  search: SamplesSearch;
  onChange: (change: SamplesSearch) => void;
  showAll: () => void;
}

/** The samples beside the chart: those of the point that was clicked, or the newest. */
export function LatestSamples({ runId, search, onChange, showAll }: Props) {
  const { data, error, isPending, refetch } = useQuery(listRunSamplesOptions({ path: { run_id: runId } }));
  const shown = data && shownOf(data);
  const step = shown && nearest(shown.steps, search.step);
  return (
    <Paper withBorder p="md" component="section" aria-label="Samples">
      <Stack gap="sm">
        <Group justify="space-between">
          <Title order={2} size="h5">
            Samples
          </Title>
          {step !== undefined && (
            <Group gap="md">
              {search.step !== undefined && step !== shown?.steps.at(-1) && (
                <Anchor component="button" type="button" size="sm" onClick={() => onChange({ step: undefined })}>
                  Newest
                </Anchor>
              )}
              <Anchor component="button" type="button" size="sm" onClick={showAll}>
                All samples
              </Anchor>
            </Group>
          )}
        </Group>
        {error && <Failed error={error} again={refetch} />}
        {isPending && <Skeleton h={200} />}
        {shown && step === undefined && (
          <Text size="sm" c="dimmed" mih={120}>
            None yet. They come with the next sampling; a run without prompts makes none.
          </Text>
        )}
        {shown && step !== undefined && (
          <>
            <StepSlider steps={shown.steps} step={step} onChange={(to) => onChange({ step: to })} />
            <StepSamples
              runId={runId}
              shown={shown}
              step={step}
              cols={{ base: 2, lg: 2 }}
              open={(prompt) => onChange({ open: true, step, prompt })}
            />
          </>
        )}
      </Stack>
    </Paper>
  );
}
