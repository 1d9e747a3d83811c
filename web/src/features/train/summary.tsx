import { Divider, Paper, Stack } from "@mantine/core";
import { useState } from "react";
import type { Form } from "@/forms/form";
import { Failed } from "@/shared/states";
import { DiskLine } from "./disk-line";
import { MemoryBlock } from "./memory-block";
import { ProblemList } from "./problem-list";
import { StartButton } from "./start-button";
import { StepsBlock } from "./steps-block";
import classes from "./train.module.css";
import { useCheck, usePlan, type Wish } from "./use-server-says";

/** What the job comes to: steps, time, memory, disk, problems; and its start. */
export function Summary(props: { form: Form; jump: (path: string) => void; started: (id: string) => void }) {
  const { form } = props;
  const [wish, setWish] = useState<Wish>({});
  const plan = usePlan(form, wish);
  const check = useCheck(form);
  const change = (more: Wish) => setWish((before) => ({ ...before, ...more }));
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
