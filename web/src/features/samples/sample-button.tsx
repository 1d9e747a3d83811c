import { UnstyledButton } from "@mantine/core";
import type { Sample, SamplePrompt } from "@/api/generated/types.gen";
import { count } from "@/shared/format";
import classes from "./samples.module.css";
import { promptText, sampleUrl } from "./shown";

interface Props {
  runId: string;
  sample: Sample | undefined;
  prompt: SamplePrompt;
  step: number;
  size: 128 | 256 | 512;
  isChosen?: boolean;
  open: () => void;
}

/** A sample that opens the viewer. */
export function SampleButton({ runId, sample, prompt, step, size, isChosen, open }: Props) {
  if (!sample) return <div className={classes.none}>Not made</div>;
  const what = `${promptText(prompt)}, step ${count(step)}`;
  return (
    <UnstyledButton
      className={classes.picture}
      onClick={open}
      aria-label={`Look at: ${what}`}
      data-chosen={isChosen || undefined}
    >
      <img src={sampleUrl(runId, sample, size)} alt={what} loading="lazy" decoding="async" />
    </UnstyledButton>
  );
}
