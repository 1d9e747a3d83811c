import { ActionIcon, Badge, Button, Group, Text, Tooltip } from "@mantine/core";
import { CircleHelp, RotateCcw } from "lucide-react";
import { memo } from "react";
import { useForm, type Widget } from "./context";
import type { Field, Kind } from "./fields";
import type { Said } from "./form";
import classes from "./form.module.css";
import { useRow } from "./use-row";
import { FixedWidget } from "./widgets/fixed-widget";
import { LinesWidget } from "./widgets/lines-widget";
import { ListWidget } from "./widgets/list-widget";
import { NumberWidget } from "./widgets/number-widget";
import { PairsWidget } from "./widgets/pairs-widget";
import { PathWidget } from "./widgets/path-widget";
import { SectionsWidget } from "./widgets/sections-widget";
import { SelectWidget } from "./widgets/select-widget";
import { SizeWidget } from "./widgets/size-widget";
import { SwitchWidget } from "./widgets/switch-widget";
import { TextWidget } from "./widgets/text-widget";
import { shown } from "./words";

const WIDGETS: Readonly<Record<Kind, Widget>> = {
  text: TextWidget, number: NumberWidget, switch: SwitchWidget, select: SelectWidget, path: PathWidget,
  size: SizeWidget, texts: ListWidget, sizes: ListWidget, numbers: ListWidget, lines: LinesWidget,
  pairs: PairsWidget, sections: SectionsWidget, fixed: FixedWidget,
}; // biome-ignore format: a table

const BLOCKS: ReadonlySet<Kind> = new Set(["texts", "sizes", "numbers", "lines", "pairs", "sections", "path"]);
const GROUPS: ReadonlySet<Kind> = new Set(["pairs", "sections", "fixed"]);

export function idOf(path: string): string {
  return `field-${path.replaceAll(".", "-")}`;
}

/** One parameter: label, mark and help, its widget, and what is wrong with it. Drawn again only when it changes. */
export const FieldRow = memo(function FieldRow(props: { field: Field; prefix?: string }) {
  const { field } = props;
  const { form, widgets } = useForm();
  const path = (props.prefix ?? "") + field.key;
  const { isThere, spec, own, base, said, isIdle, kind, meant, isFound, ...row } = useRow(field, path);
  const edited = row.isEdited;
  if (!isThere || !spec) return null;
  const id = idOf(path);
  const isBlock = BLOCKS.has(spec.kind) || widgets[field.pattern] !== undefined;
  const isOwn = own !== undefined;
  const Control = widgets[field.pattern] ?? WIDGETS[spec.kind];
  const isPlainList = spec.kind === "sections" && field.children.length > 8;
  const errors = (said ?? []).filter((each) => each.code !== "missing");
  const unit = field.label.includes(field.facts.unit) ? "" : field.facts.unit;
  const isMissing = said?.some((each) => each.code === "missing") ?? false;
  return (
    <div
      className={classes.row}
      data-path={path}
      data-pattern={field.pattern}
      data-edited={edited || undefined}
      data-block={isBlock || undefined}
      data-switch={spec.kind === "switch" || undefined}
      data-found={isFound || undefined}
    >
      {!isPlainList && (
        <div className={classes.label}>
          <span>
            {GROUPS.has(spec.kind) ? <span data-name>{field.label}</span> : <label htmlFor={id}>{field.label}</label>}
            {unit && <span className={classes.unit}> ({unit})</span>}
          </span>
          {isMissing && (
            <Badge size="xs" variant="light" color="gray" tt="none">
              needed
            </Badge>
          )}
          {edited && <span className={classes.dot} title="Edited" />}
          {edited && base !== undefined && field.children.length === 0 && (
            <Tooltip label={`Back to ${shown(base)}`}>
              <ActionIcon
                size={24}
                variant="subtle"
                aria-label={`Reset ${field.label}`}
                onClick={() => form.set(path, undefined)}
              >
                <RotateCcw size={14} aria-hidden />
              </ActionIcon>
            </Tooltip>
          )}
          <ActionIcon
            size={24}
            variant="subtle"
            color="gray"
            aria-label={`Help for ${field.label}`}
            onClick={(event) => form.store.setState({ helpOf: { field, path, anchor: event.currentTarget } })}
          >
            <CircleHelp size={14} aria-hidden />
          </ActionIcon>
        </div>
      )}
      <div className={classes.control} data-control>
        <Control
          form={form}
          field={field}
          spec={spec}
          path={path}
          id={id}
          value={isOwn ? own : base}
          isOwn={isOwn}
          hasError={errors.some((each) => each.level === "error")}
          describedBy={errors.length > 0 ? `${id}-said` : undefined}
          meant={meant}
          set={(value) => form.set(path, value)}
        />
      </div>
      {isIdle && (
        <Text size="xs" c="dimmed" className={classes.said}>
          No effect with {kind}.
        </Text>
      )}
      {errors.length > 0 && (
        <div className={classes.said} id={`${id}-said`}>
          {errors.map((each) => (
            <SaidLine key={each.code + each.message} said={each} />
          ))}
        </div>
      )}
    </div>
  );
});

const COLORS = { error: "red", warning: "orange", note: "dimmed" } as const;

function SaidLine({ said }: { said: Said }) {
  const { form } = useForm();
  const color = COLORS[said.level];
  return (
    <Group gap="xs" justify="space-between" wrap="nowrap" align="flex-start">
      <Text size="xs" c={color === "dimmed" ? "dimmed" : `var(--said-${said.level})`}>
        {said.message.charAt(0).toUpperCase() + said.message.slice(1)}
      </Text>
      {said.fix.length > 0 && (
        <Button size="compact-xs" variant="light" onClick={() => form.apply(said.fix)} style={{ flex: "none" }}>
          Fix
        </Button>
      )}
    </Group>
  );
}
