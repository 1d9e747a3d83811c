import { Modal, Tabs } from "@mantine/core";
import type { Form } from "@/forms/form";
import { PresetChoice } from "./preset-choice";
import { PresetDiff } from "./preset-diff";
import { PresetForm } from "./preset-form";

/** Choose a preset and see what it changes, compare the draft with one, or make one of the draft. */
export function PresetDialog(props: { opened: boolean; close: () => void; form: Form }) {
  return (
    <Modal
      opened={props.opened}
      onClose={props.close}
      title="Presets"
      size="xl"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Tabs defaultValue="choose" keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="choose">Choose</Tabs.Tab>
          <Tabs.Tab value="compare">Compare</Tabs.Tab>
          <Tabs.Tab value="save">Save own</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="choose">
          <PresetChoice form={props.form} close={props.close} />
        </Tabs.Panel>
        <Tabs.Panel value="compare">
          <PresetDiff form={props.form} />
        </Tabs.Panel>
        <Tabs.Panel value="save">
          <PresetForm data={props.form.state.data} />
        </Tabs.Panel>
      </Tabs>
    </Modal>
  );
}
