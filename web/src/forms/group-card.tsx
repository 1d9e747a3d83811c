import { Paper, Text, Title } from "@mantine/core";
import { memo } from "react";
import { estimatedHeight } from "./columns";
import { useForm, useFormState } from "./context";
import type { Group } from "./fields";
import { isShown } from "./form";
import classes from "./form.module.css";

/** Parameters that belong together. One in which nothing is shown is not there. */
export const GroupCard = memo(function GroupCard({ group }: { group: Group }) {
  const { form } = useForm();
  const isThere = useIsThere(group, "");
  if (!isThere) return null;
  return (
    <Paper
      withBorder
      component="section"
      aria-label={group.name}
      className={classes.group}
      data-wide={group.isWide || undefined}
      style={{ containIntrinsicHeight: estimatedHeight([group], form.state) }}
    >
      <Title order={3} size="h5" mb="xs">
        {group.name}
      </Title>
      <Rows group={group} prefix="" />
    </Paper>
  );
});

/** The same within an entry of a list. */
export const InnerGroup = memo(function InnerGroup(props: { group: Group; prefix: string; hasHead: boolean }) {
  const isThere = useIsThere(props.group, props.prefix);
  if (!isThere) return null;
  return (
    <div className={classes.innerGroup}>
      {props.hasHead && (
        <Text size="xs" fw={650} c="dimmed" mb={6}>
          {props.group.name}
        </Text>
      )}
      <Rows group={props.group} prefix={props.prefix} />
    </div>
  );
});

/**
 * A form of its own for each group: at every key, browsers look through all fields of the form that it belongs to
 * (to fill it in), which in one form of 200 fields takes longer than all the rest.
 */
function Rows({ group, prefix }: { group: Group; prefix: string }) {
  const { Row } = useForm();
  const rows = group.fields.map((field) => <Row key={field.pattern} field={field} prefix={prefix} />);
  // Forms do not stand in forms.
  if (group.fields.some((field) => field.children.length > 0)) return <div className={classes.rows}>{rows}</div>;
  return (
    <form className={classes.rows} autoComplete="off" noValidate onSubmit={(event) => event.preventDefault()}>
      {rows}
    </form>
  );
}

function useIsThere(group: Group, prefix: string): boolean {
  return useFormState((state) => group.fields.some((field) => isShown(state, field, prefix + field.key)));
}
