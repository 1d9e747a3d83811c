import { Paper, Stack, Text, Title } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Fragment } from "react";
import { listRunSamplesOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { Sample } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";
import { count } from "@/shared/format";
import { Failed } from "@/shared/states";
import { StepSlider } from "@/shared/step-slider";
import { nearest } from "@/shared/steps";
import classes from "./compare.module.css";
import type { ComparedRun } from "./compared";
import { sampleAt, syncedSamples } from "./merged";

interface Props {
  runs: readonly ComparedRun[];
  /** The chosen step; left out: the newest of all. */
  step: number | undefined;
  onStep: (step: number) => void;
}

/** The samples of several runs side by side: a column for each run, a row for each prompt, one slider for all. */
export function CompareSamples({ runs, step: wanted, onStep }: Props) {
  const found = useQueries({ queries: runs.map((run) => listRunSamplesOptions({ path: { run_id: run.id } })) });
  const { steps, prompts, columns } = syncedSamples(found.map((each) => each.data));
  const step = nearest(steps, wanted);
  const failed = found.find((each) => each.error && !each.data);
  return (
    <Paper withBorder p="md" component="section" aria-label="Samples">
      <Stack gap="sm">
        <Title order={2} size="h5">
          Samples
        </Title>
        {failed && <Failed error={failed.error} again={() => void failed.refetch()} />}
        {step === undefined ? (
          <Text size="sm" c="dimmed" mih={120}>
            {found.some((each) => each.isPending)
              ? "Loading the samples…"
              : "None of these runs has samples yet. They come with the next sampling; a run without prompts makes none."}
          </Text>
        ) : (
          <>
            <StepSlider steps={steps} step={step} onChange={onStep} />
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
            <section className={classes.grid} aria-label="Samples by prompt and run" tabIndex={0}>
              <table>
                <thead>
                  <tr>
                    {runs.map((run) => (
                      <th key={run.id} scope="col">
                        <span className={classes.head}>
                          <span className={classes.swatch} style={{ background: run.color }} />
                          {run.label}
                        </span>
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {prompts.map(({ identity, prompt }) => (
                    <Fragment key={identity}>
                      <tr>
                        <th colSpan={runs.length} scope="rowgroup">
                          {prompt.text ?? `Prompt ${prompt.index + 1}`}
                        </th>
                      </tr>
                      <tr>
                        {runs.map((run, place) => {
                          const column = columns[place];
                          return (
                            <td key={run.id}>
                              <Cell run={run} step={step} sample={column && sampleAt(column, step, identity)} />
                            </td>
                          );
                        })}
                      </tr>
                    </Fragment>
                  ))}
                </tbody>
              </table>
            </section>
          </>
        )}
      </Stack>
    </Paper>
  );
}

function Cell({ run, step, sample }: { run: ComparedRun; step: number; sample: Sample | undefined }) {
  if (!sample) return <div className={classes.none}>None yet at this step</div>;
  const what = `${run.label}, step ${count(sample.step)}`;
  return (
    <Stack gap={2}>
      <Link
        to="/runs/$runId"
        params={{ runId: run.id }}
        search={{ tab: "samples", step: sample.step, prompt: sample.prompt, open: true }}
        className={classes.picture}
        aria-label={`Look at: ${what}`}
      >
        <img
          src={serverUrl(`/api/runs/${run.id}/samples/${encodeURIComponent(sample.file)}?size=512`)}
          alt={what}
          loading="lazy"
          decoding="async"
        />
      </Link>
      <Text size="xs" c="dimmed" className="numbers">
        Step {count(sample.step)}
        {sample.step !== step && ", the last one before"}
      </Text>
    </Stack>
  );
}
