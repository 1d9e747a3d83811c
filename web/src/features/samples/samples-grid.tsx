import { Text } from "@mantine/core";
import { count } from "@/shared/format";
import { SampleButton } from "./sample-button";
import classes from "./samples.module.css";
import { promptText, type Shown } from "./shown";

interface Props {
  runId: string;
  shown: Shown;
  step: number;
  open: (step: number, prompt: string) => void;
}

/** All samples: a row for each prompt, a column for each step. */
export function SamplesGrid({ runId, shown, step, open }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section className={classes.grid} aria-label="Samples by step and prompt" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">Prompt</th>
            {shown.steps.map((each) => (
              <th key={each} scope="col" className="numbers">
                {each === step ? <b>Step {count(each)}</b> : `Step ${count(each)}`}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.prompts.map((prompt) => (
            <tr key={prompt.key}>
              <th scope="row">
                <Text size="xs" lineClamp={6}>
                  {promptText(prompt)}
                </Text>
              </th>
              {shown.steps.map((each) => (
                <td key={each}>
                  <SampleButton
                    runId={runId}
                    sample={shown.at(each, prompt.key)}
                    prompt={prompt}
                    step={each}
                    size={256}
                    isChosen={each === step}
                    open={() => open(each, prompt.key)}
                  />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
