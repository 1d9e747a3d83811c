import { Alert, Switch } from "@mantine/core";
import { useStore } from "zustand";
import type { Form } from "@/forms/form";

/** Lets people see what does nothing for the chosen kind of model. */
export function IdleSwitch({ form, tab }: { form: Form; tab: string }) {
  const { byPattern } = form.model;
  const isShown = useStore(form.store, (state) => state.isIdleShown);
  const kind = useStore(form.store, (state) => state.kind);
  const number = useStore(form.store, (state) =>
    state.kind === "" ? 0 : [...state.idle].filter((each) => byPattern.get(each)?.facts.tab === tab).length,
  );
  if (number === 0) return null;
  const words = number === 1 ? "setting of this tab that has" : "settings of this tab that have";
  return (
    <Alert variant="default" p="xs" mb="md">
      <Switch
        size="sm"
        label={`Also show the ${number} ${words} no effect with ${kind}`}
        checked={isShown}
        onChange={(event) => form.store.setState({ isIdleShown: event.currentTarget.checked })}
      />
    </Alert>
  );
}
