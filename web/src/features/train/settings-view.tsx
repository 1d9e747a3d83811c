import { Group, SegmentedControl, Switch, Tabs } from "@mantine/core";
import { useLayoutEffect } from "react";
import type { FormModel } from "@/forms/fields";
import type { Form } from "@/forms/form";
import { HelpCard } from "@/forms/help-card";
import { LEVELS, type Level } from "@/forms/schema";
import { TabPanel } from "@/forms/tab-panel";
import { IdleSwitch } from "./idle-switch";
import { jump } from "./jump";
import { SearchBox } from "./search-box";
import { TabList, tabValue } from "./tab-list";
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
  // biome-ignore lint/correctness/useExhaustiveDependencies: another tab is a new look, too
  useLayoutEffect(() => {
    form.look({ level: place.level, isChangedOnly: place.isChangedOnly });
  }, [form, place.level, place.isChangedOnly, place.tab]);
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
        value={tabValue(tab.name)}
        onChange={(value) => {
          const chosen = model.tabs.find((each) => tabValue(each.name) === value);
          if (chosen) go({ tab: chosen.name });
        }}
        keepMounted={false}
      >
        <TabList form={form} />
        <Tabs.Panel value={tabValue(tab.name)} pt="md">
          <TabPanel tab={tab} />
          <IdleSwitch form={form} tab={tab.name} />
        </Tabs.Panel>
      </Tabs>
      <HelpCard />
    </>
  );
}
