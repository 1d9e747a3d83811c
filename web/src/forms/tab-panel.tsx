import { Text } from "@mantine/core";
import { memo } from "react";
import { Bands } from "./bands";
import { useFormState } from "./context";
import type { Group, Tab } from "./fields";
import { isShown } from "./form";
import classes from "./form.module.css";
import { GroupCard } from "./group-card";

/** All parameters of a tab, in their groups. */
export const TabPanel = memo(function TabPanel({ tab }: { tab: Tab }) {
  const isEmpty = useFormState(
    (state) => !tab.groups.some((group) => group.fields.some((field) => isShown(state, field, field.key))),
  );
  return (
    <div className={classes.panel}>
      <Bands groups={tab.groups} draw={drawCard} />
      {isEmpty && (
        <Text c="dimmed" ta="center" py="xl">
          Nothing to show here. Another tab, or a higher level, has more.
        </Text>
      )}
    </div>
  );
});

function drawCard(group: Group) {
  return <GroupCard key={group.name} group={group} />;
}
