import { ActionIcon, Group, Title, Tooltip } from "@mantine/core";
import { ArrowDown, ArrowUp, Copy, Trash2 } from "lucide-react";
import { memo } from "react";
import { Bands } from "../bands";
import { estimatedHeight } from "../columns";
import { useForm } from "../context";
import type { Group as FieldGroup } from "../fields";
import classes from "../form.module.css";
import { InnerGroup } from "../group-card";

export interface EntryProps {
  /** "Dataset 2" */
  readonly name: string;
  /** Of its fields: `datasets.1.` */
  readonly prefix: string;
  readonly groups: readonly FieldGroup[];
  readonly at: number;
  readonly isLast: boolean;
  /** Must stay the same function. */
  readonly change: (how: Change, at: number) => void;
}

export type Change = "up" | "down" | "copy" | "remove";

const TOOLS = [
  { how: "up", label: "Move up", icon: ArrowUp },
  { how: "down", label: "Move down", icon: ArrowDown },
  { how: "copy", label: "Copy", icon: Copy },
  { how: "remove", label: "Remove", icon: Trash2 },
] as const;

/** One entry of a list of sections. Not drawn anew when a value in it changes: its rows look after themselves. */
export const SectionEntry = memo(function SectionEntry(props: EntryProps) {
  const { name, prefix, groups, at, isLast, change } = props;
  const { form } = useForm();
  const isOff = (how: Change) => (how === "up" && at === 0) || (how === "down" && isLast);
  const tools = at === 0 && isLast ? TOOLS.slice(2) : TOOLS;
  return (
    <section
      className={classes.entry}
      aria-label={name}
      style={{ containIntrinsicHeight: estimatedHeight(groups, form.state, prefix) }}
    >
      <Group justify="space-between" mb="xs">
        <Title order={4} size="h6">
          {name}
        </Title>
        <Group gap={4}>
          {tools.map(({ how, label, icon: Icon }) => (
            <Tooltip key={how} label={label}>
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label={`${label} ${name}`}
                // Not disabled: it would lose the focus at the end of the list.
                aria-disabled={isOff(how) || undefined}
                opacity={isOff(how) ? 0.4 : undefined}
                onClick={() => !isOff(how) && change(how, at)}
              >
                <Icon size={16} aria-hidden />
              </ActionIcon>
            </Tooltip>
          ))}
        </Group>
      </Group>
      <div className={classes.inner}>
        <Bands
          groups={groups}
          prefix={prefix}
          draw={(group) => <InnerGroup key={group.name} group={group} prefix={prefix} hasHead={groups.length > 1} />}
        />
      </div>
    </section>
  );
});
