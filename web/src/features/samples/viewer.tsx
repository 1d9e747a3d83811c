import { Box, Button, Group, Kbd, Modal, Text } from "@mantine/core";
import { Columns2 } from "lucide-react";
import { useShortcut } from "@/shared/shortcuts";
import { StepSlider } from "@/shared/step-slider";
import { AboutSample } from "./about-sample";
import classes from "./samples.module.css";
import { promptText, type SamplesSearch, type Shown, sampleUrl } from "./shown";
import { Wipe } from "./wipe";

interface Props {
  runId: string;
  shown: Shown;
  step: number;
  search: SamplesSearch;
  onChange: (change: SamplesSearch) => void;
}

/** One sample as large as the window. Arrows: another step, another prompt; c: compare with another step. */
export function Viewer({ runId, shown, step, search, onChange }: Props) {
  const prompts = shown.prompts.filter((each) => shown.at(step, each.key) || each.key === search.prompt);
  const prompt = prompts.find((each) => each.key === search.prompt) ?? prompts[0];
  const steps = prompt ? shown.steps.filter((each) => shown.at(each, prompt.key)) : [];
  const other = search.with !== undefined && steps.includes(search.with) ? search.with : undefined;
  const move = (by: number) => {
    const next = steps[steps.indexOf(step) + by];
    if (next !== undefined) onChange({ step: next });
  };
  const turn = (by: number) => {
    const next = prompt && prompts[prompts.indexOf(prompt) + by];
    if (next) onChange({ prompt: next.key });
  };
  const compare = () => {
    if (other !== undefined) onChange({ with: undefined });
    else onChange({ with: steps[0] === step ? steps.at(-1) : steps[0] });
  };
  const group = { group: "Samples" };
  useShortcut("arrowleft", "Earlier step", () => move(-1), group);
  useShortcut("arrowright", "Later step", () => move(1), group);
  useShortcut("arrowup", "Prompt before", () => turn(-1), group);
  useShortcut("arrowdown", "Next prompt", () => turn(1), group);
  useShortcut("c", "Compare with another step", compare, group);

  const sample = prompt && shown.at(step, prompt.key);
  const against = prompt && other !== undefined ? shown.at(other, prompt.key) : undefined;
  return (
    <Modal
      opened
      fullScreen
      onClose={() => onChange({ open: undefined, with: undefined })}
      title={prompt ? promptText(prompt) : "Samples"}
      transitionProps={{ duration: 0 }}
      closeButtonProps={{ "aria-label": "Close" }}
      styles={{ title: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap" } }}
    >
      <div className={classes.viewer}>
        {sample && prompt && against ? (
          <Wipe
            a={{ url: sampleUrl(runId, against), step: against.step }}
            b={{ url: sampleUrl(runId, sample), step }}
            what={promptText(prompt)}
          />
        ) : (
          <div className={classes.stage}>
            {sample && prompt ? (
              <img
                className={classes.full}
                src={sampleUrl(runId, sample)}
                alt={`${promptText(prompt)}, step ${step}`}
              />
            ) : (
              <Text c="dimmed">This prompt has no sample of step {step}.</Text>
            )}
          </div>
        )}
        <div className={classes.about}>
          {sample && prompt && <AboutSample runId={runId} sample={sample} prompt={prompt} />}
        </div>
        <Group className={classes.foot} gap="md">
          {other !== undefined && (
            <Box flex="1 1 16rem">
              <StepSlider steps={steps} step={other} onChange={(to) => onChange({ with: to })} label="Step of A" />
            </Box>
          )}
          <Box flex="1 1 16rem">
            <StepSlider
              steps={steps}
              step={step}
              onChange={(to) => onChange({ step: to })}
              label={other === undefined ? "Step" : "Step of B"}
            />
          </Box>
          <Button
            variant={other === undefined ? "default" : "filled"}
            size="xs"
            aria-pressed={other !== undefined}
            disabled={steps.length < 2}
            leftSection={<Columns2 size={16} aria-hidden />}
            onClick={compare}
          >
            Compare
          </Button>
          <Text size="xs" c="dimmed" visibleFrom="sm">
            <Kbd size="xs">←</Kbd> <Kbd size="xs">→</Kbd> step · <Kbd size="xs">↑</Kbd> <Kbd size="xs">↓</Kbd> prompt ·{" "}
            <Kbd size="xs">C</Kbd> compare · <Kbd size="xs">Esc</Kbd> close
          </Text>
        </Group>
      </div>
    </Modal>
  );
}
