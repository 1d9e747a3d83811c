import { Alert, Badge, Group, SegmentedControl, Switch, Tabs } from "@mantine/core";
import { useEffect } from "react";
import { useStore } from "zustand";
import { useShallow } from "zustand/react/shallow";
import type { FormModel } from "@/forms/fields";
import { type Form, isEdited } from "@/forms/form";
import { HelpCard } from "@/forms/help-card";
import { leaves, patternOf } from "@/forms/paths";
import { LEVELS, type Level } from "@/forms/schema";
import { TabPanel } from "@/forms/tab-panel";
import { jump } from "./jump";
import { SearchBox } from "./search-box";
import classes from "./train.module.css";

export interface SettingsPlace {
  tab: string;
  level: Level;
  isChangedOnly: boolean;
}

/** Every parameter, in seven tabs. */
export function SettingsView(props: {
  model: FormModel;
  form: Form;
  place: SettingsPlace;
  go: (to: Partial<SettingsPlace>) => void;
}) {
  const { model, form, place, go } = props;
  const tab = model.tabs.find((each) => each.name === place.tab) ?? model.tabs[0];
  useEffect(() => {
    form.store.setState({ level: place.level, isChangedOnly: place.isChangedOnly });
  }, [form, place.level, place.isChangedOnly]);
  const edits = useStore(
    form.store,
    useShallow((state) => model.tabs.map((each) => countEdits(form, state, each.name))),
  );
  const errors = useStore(
    form.store,
    useShallow((state) => model.tabs.map((each) => countErrors(form, state.said, each.name))),
  );
  const isIdleShown = useStore(form.store, (state) => state.isIdleShown);
  const idle = useStore(form.store, (state) =>
    state.kind === "" ? 0 : [...state.idle].filter((each) => model.byPattern.get(each)?.facts.tab === tab?.name).length,
  );
  const kind = useStore(form.store, (state) => state.kind);
  if (!tab) return null;
  const jumpTo = (path: string) => jump(form, path, (name) => go({ tab: name, isChangedOnly: false }));
  return (
    <>
      <Group gap="sm" className={classes.tools}>
        <SearchBox model={model} form={form} jump={jumpTo} />
        <SegmentedControl
          size="sm"
          aria-label="How much to show"
          data={LEVELS.map((value) => ({ value, label: value.charAt(0).toUpperCase() + value.slice(1) }))}
          value={place.level}
          onChange={(value) => go({ level: value as Level })}
        />
        <Switch
          label="Changed only"
          checked={place.isChangedOnly}
          onChange={(event) => go({ isChangedOnly: event.currentTarget.checked })}
        />
      </Group>
      <Tabs
        value={wordOf(tab.name)}
        onChange={(word) => go({ tab: model.tabs.find((each) => wordOf(each.name) === word)?.name ?? tab.name })}
        keepMounted={false}
      >
        <Tabs.List className={classes.tabs} aria-label="Parts of the settings">
          {model.tabs.map((each, i) => (
            <Tabs.Tab
              key={each.name}
              value={wordOf(each.name)}
              rightSection={
                errors[i] ? (
                  <Badge size="sm" color="red" variant="light" circle aria-label={`${errors[i]} with problems`}>
                    {errors[i]}
                  </Badge>
                ) : edits[i] ? (
                  <Badge size="sm" variant="light" circle aria-label={`${edits[i]} edited`}>
                    {edits[i]}
                  </Badge>
                ) : null
              }
            >
              {each.name}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value={wordOf(tab.name)} pt="md">
          <TabPanel tab={tab} />
          {idle > 0 && (
            <Alert variant="default" p="xs" mb="md">
              <Switch
                size="sm"
                label={`Also show the ${idle} ${idle === 1 ? "setting" : "settings"} of this tab that ${idle === 1 ? "has" : "have"} no effect with ${kind}`}
                checked={isIdleShown}
                onChange={(event) => form.store.setState({ isIdleShown: event.currentTarget.checked })}
              />
            </Alert>
          )}
        </Tabs.Panel>
      </Tabs>
      <HelpCard />
    </>
  );
}

/** Becomes part of ids, which have no spaces. */
function wordOf(name: string): string {
  return name.replaceAll(" ", "-");
}

function tabOf(form: Form, path: string): string | undefined {
  let pattern = patternOf(path);
  while (pattern && !form.model.byPattern.has(pattern)) {
    const shorter = pattern.split(".").slice(0, -1).join(".");
    if (!shorter) break;
    pattern = shorter;
  }
  const exact = form.model.byPattern.get(pattern);
  return (exact ?? form.model.fields.find((each) => each.pattern.startsWith(`${pattern}.`)))?.facts.tab;
}

function countEdits(form: Form, state: Form["state"], tab: string): number {
  return leaves(state.data).filter(([path]) => {
    const field = form.model.byPattern.get(patternOf(path));
    return field && field.facts.tab === tab && isEdited(state, field, path);
  }).length;
}

function countErrors(form: Form, said: Form["state"]["said"], tab: string): number {
  return Object.entries(said).filter(
    ([path, list]) =>
      tabOf(form, path) === tab && list.some((each) => each.level === "error" && each.code !== "missing"),
  ).length;
}
