import { Anchor, Group, Stack, Text, TextInput } from "@mantine/core";
import { useStore } from "zustand";
import type { Form } from "@/forms/form";
import { getIn } from "@/forms/paths";
import { GuidedDataset } from "./guided-dataset";
import { GuidedGoal } from "./guided-goal";
import { GuidedModel } from "./guided-model";
import { GuidedQuality } from "./guided-quality";
import { GuidedStep } from "./guided-step";
import { useProposal } from "./use-proposal";

/** Five questions make a job; everything else has an answer already. */
export default function Guided(props: { form: Form; isArriving: boolean; showAll: () => void }) {
  const { form, showAll } = props;
  useProposal(form, props.isArriving);
  const name = useStore(form.store, (state) => state.data.name);
  const trigger = useStore(form.store, (state) => getIn(state.data, "datasets.0.trigger_word"));
  return (
    <Stack gap="md">
      <GuidedStep
        title="Pictures"
        about="What the model shall learn. Ten to fifty good pictures are enough for most things."
      >
        <GuidedDataset form={form} />
      </GuidedStep>
      <GuidedStep title="Name and trigger word">
        <Group grow align="flex-start" preventGrowOverflow={false} gap="md">
          <TextInput
            label="Name"
            description="Files and samples are called so."
            value={typeof name === "string" ? name : ""}
            onChange={(event) => form.set("name", event.currentTarget.value || undefined)}
            miw="12rem"
            autoComplete="off"
          />
          <TextInput
            label="Trigger word"
            description="A word that calls it up in a prompt; may be empty."
            placeholder="ohwx dog"
            value={typeof trigger === "string" ? trigger : ""}
            onChange={(event) => form.set("datasets.0.trigger_word", event.currentTarget.value || undefined)}
            miw="12rem"
            autoComplete="off"
          />
        </Group>
      </GuidedStep>
      <GuidedStep title="Base model" about="The LoRA works with this model and its relatives.">
        <GuidedModel form={form} />
      </GuidedStep>
      <GuidedStep title="Goal" about="Chooses rates, rank and captions that suit it.">
        <GuidedGoal form={form} />
      </GuidedStep>
      <GuidedStep title="Quality against time">
        <GuidedQuality form={form} />
      </GuidedStep>
      <Text size="sm" c="dimmed">
        Want more say?{" "}
        <Anchor component="button" inherit onClick={showAll}>
          All settings
        </Anchor>{" "}
        show the same draft with every parameter.
      </Text>
    </Stack>
  );
}
