import { SegmentedControl, Stack, Text } from "@mantine/core";
import { useStore } from "zustand";
import type { Form } from "@/forms/form";
import { getIn } from "@/forms/paths";
import { count, duration } from "@/shared/format";
import { stopOf, stopsFor, withStop } from "./guided-choices";
import { usePlan } from "./use-server-says";

const NO_WISH = {};

/** How long to train, in three stops. */
export function GuidedQuality({ form }: { form: Form }) {
  const model = useStore(form.store, (state) => getIn(state.data, "model.path"));
  const steps = useStore(form.store, (state) => getIn(state.data, "duration.steps"));
  const stop = useStore(form.store, (state) => stopOf(state.data));
  const plan = usePlan(form, NO_WISH).data?.plan;
  const stops = stopsFor(model);
  const said = typeof steps === "number" ? `${count(steps)} steps` : "As many steps as the epochs make";
  return (
    <Stack gap="sm">
      <SegmentedControl
        fullWidth
        aria-label="Quality against time"
        data={stops.map((each, value) => ({ value: String(value), label: each.label }))}
        value={String(stop)}
        onChange={(value) => form.replace(withStop(form.state.data, Number(value)))}
      />
      <Text size="sm" c="dimmed" className="numbers">
        {said}
        {plan?.seconds ? `, about ${duration(plan.seconds)}` : ""}. More steps hold more detail, up to a point; samples
        on the way show when it is enough.
      </Text>
    </Stack>
  );
}
