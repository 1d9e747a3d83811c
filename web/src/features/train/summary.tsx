import { Divider, Paper, Stack } from "@mantine/core";
import type { Form } from "@/forms/form";
import { Failed } from "@/shared/states";
import { DiskLine } from "./disk-line";
import { MemoryBlock } from "./memory-block";
import { ProblemList } from "./problem-list";
import { StartButton } from "./start-button";
import { StepsBlock } from "./steps-block";
import classes from "./train.module.css";
import { useCheck, usePlan, type Wish } from "./use-server-says";

/** What is calculated with instead of the job's own numbers. */
export interface Wishes {
  wish: Wish;
  change: (more: Wish) => void;
}

interface Props extends Wishes {
  form: Form;
  jump: (path: string) => void;
  started: (id: string) => void;
}

/** What the job comes to: steps, time, memory, disk, problems; and its start. */
export function Summary(props: Props) {
  const { form, wish, change } = props;
  const plan = usePlan(form, wish);
  const check = useCheck(form);
  return (
    <Paper withBorder component="section" aria-label="Summary" className={classes.summary}>
      <Stack gap="md" tabIndex={-1} data-focus-home>
        <StepsBlock form={form} answer={plan.data} wish={wish} change={change} />
        <Divider />
        <ProblemList form={form} check={check.data} isPending={check.isPending} jump={props.jump} />
        {(check.error ?? plan.error) && <Failed error={check.error ?? plan.error} again={() => void check.refetch()} />}
        <Divider />
        <MemoryBlock form={form} plan={plan.data?.plan ?? null} wish={wish} change={change} />
        <DiskLine plan={plan.data?.plan ?? null} />
      </Stack>
      <StartButton form={form} check={check.data} started={props.started} jump={props.jump} />
    </Paper>
  );
}
