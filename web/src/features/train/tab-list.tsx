import { Badge, Tabs } from "@mantine/core";
import { useStore } from "zustand";
import { useShallow } from "zustand/react/shallow";
import type { Form } from "@/forms/form";
import { editsByTab, errorsByTab } from "./tab-counts";
import classes from "./train.module.css";

/** The tabs, each with the number of its mistakes, or else of its edits. */
export function TabList({ form }: { form: Form }) {
  const edits = useStore(
    form.store,
    useShallow((state) => editsByTab(form, state)),
  );
  const errors = useStore(
    form.store,
    useShallow((state) => errorsByTab(form, state.said)),
  );
  return (
    <Tabs.List className={classes.tabs} aria-label="Parts of the settings">
      {form.model.tabs.map(({ name }, i) => (
        <Tabs.Tab
          key={name}
          value={tabValue(name)}
          rightSection={<Count errors={errors[i] ?? 0} edits={edits[i] ?? 0} />}
        >
          {name}
        </Tabs.Tab>
      ))}
    </Tabs.List>
  );
}

/** Part of an id, in which there may be no space. */
export function tabValue(name: string): string {
  return name.toLowerCase().replaceAll(" ", "-");
}

function Count({ errors, edits }: { errors: number; edits: number }) {
  if (errors === 0 && edits === 0) return null;
  const label = errors > 0 ? `${errors} with problems` : `${edits} edited`;
  return (
    <Badge size="sm" color={errors > 0 ? "red" : undefined} variant="light" circle role="img" aria-label={label}>
      {errors || edits}
    </Badge>
  );
}
