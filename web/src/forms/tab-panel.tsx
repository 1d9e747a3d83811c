import { Paper, Text, Title } from "@mantine/core";
import { memo } from "react";
import { FieldRow } from "./field-row";
import type { Tab } from "./fields";
import classes from "./form.module.css";

/** All parameters of a tab, in their groups. A group in which nothing is shown takes no room. */
export const TabPanel = memo(function TabPanel({ tab }: { tab: Tab }) {
  return (
    <div className={classes.panel}>
      <div className={classes.groups}>
        {tab.groups.map((group) => (
          <Paper
            key={group.name}
            withBorder
            component="section"
            aria-label={group.name}
            className={`${classes.group} ${group.isWide ? classes.wide : ""}`}
          >
            <Title order={3} size="h5" mb="xs">
              {group.name}
            </Title>
            <div className={classes.rows}>
              {group.fields.map((field) => (
                <FieldRow key={field.pattern} field={field} />
              ))}
            </div>
          </Paper>
        ))}
      </div>
      <Text className={classes.nothing} c="dimmed" ta="center" py="xl">
        Nothing to show here. Another tab, or a higher level, has more.
      </Text>
    </div>
  );
});
