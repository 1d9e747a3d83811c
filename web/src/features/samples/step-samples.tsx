import { SimpleGrid, Stack, Text } from "@mantine/core";
import { SampleButton } from "./sample-button";
import { promptText, type Shown } from "./shown";

interface Props {
  runId: string;
  shown: Shown;
  step: number;
  open: (prompt: string) => void;
  cols?: React.ComponentProps<typeof SimpleGrid>["cols"];
}

/** The samples of one step, one for each prompt. */
export function StepSamples({ runId, shown, step, open, cols = { base: 2, sm: 3, lg: 4 } }: Props) {
  // Prompts that were changed meanwhile have no picture of this step; those of others would only be holes.
  const prompts = shown.prompts.filter((prompt) => shown.at(step, prompt.key));
  return (
    <SimpleGrid cols={cols} spacing="md">
      {prompts.map((prompt) => (
        <Stack key={prompt.key} gap={6}>
          <SampleButton
            runId={runId}
            sample={shown.at(step, prompt.key)}
            prompt={prompt}
            step={step}
            size={512}
            open={() => open(prompt.key)}
          />
          <Text size="xs" lineClamp={2} title={promptText(prompt)}>
            {promptText(prompt)}
          </Text>
        </Stack>
      ))}
    </SimpleGrid>
  );
}
