import { Box, Group, SegmentedControl, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Images } from "lucide-react";
import { listRunSamplesOptions } from "@/api/generated/@tanstack/react-query.gen";
import { CardSkeletons } from "@/shared/skeletons";
import { Empty, Failed } from "@/shared/states";
import { StepSlider } from "@/shared/step-slider";
import { nearest } from "@/shared/steps";
import { SamplesGrid } from "./samples-grid";
import { type SamplesSearch, shownOf } from "./shown";
import { StepSamples } from "./step-samples";

interface Props {
  runId: string;
  search: SamplesSearch;
  onChange: (change: SamplesSearch) => void;
}

/** All samples of a run, by step or all together. */
export function SamplesView({ runId, search, onChange }: Props) {
  const { data, error, isPending, refetch } = useQuery(listRunSamplesOptions({ path: { run_id: runId } }));
  if (isPending) return <CardSkeletons what="the samples" cards={6} height={220} />;
  if (error) return <Failed error={error} again={refetch} />;
  const shown = shownOf(data);
  const step = nearest(shown.steps, search.step);
  if (step === undefined)
    return (
      <Empty icon={Images} title="No samples yet">
        They come with the next sampling. A run without prompts makes none.
      </Empty>
    );
  const open = (at: number, prompt: string) => onChange({ open: true, step: at, prompt });
  return (
    <Stack gap="md">
      <Group gap="md">
        <SegmentedControl
          size="xs"
          aria-label="Which samples"
          value={search.all ? "all" : "one"}
          onChange={(value) => onChange({ all: value === "all" || undefined })}
          data={[
            { value: "one", label: "One step" },
            { value: "all", label: "All steps" },
          ]}
        />
        <Box flex="1 1 18rem">
          <StepSlider steps={shown.steps} step={step} onChange={(to) => onChange({ step: to })} />
        </Box>
      </Group>
      {search.all ? (
        <SamplesGrid runId={runId} shown={shown} step={step} open={open} />
      ) : (
        <StepSamples runId={runId} shown={shown} step={step} open={(prompt) => open(step, prompt)} />
      )}
    </Stack>
  );
}
