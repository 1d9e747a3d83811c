import { Badge, Button, Code, Group, Popover, Stack, Text } from "@mantine/core";
import { useForm, useFormState } from "./context";
import { baseOf, specOf } from "./form";
import classes from "./form.module.css";
import { getIn, isSame } from "./paths";
import { shown } from "./words";

/** What a parameter means, beside the sign that was clicked. One for the whole form. */
export function HelpCard() {
  const { form } = useForm();
  const helpOf = useFormState((state) => state.helpOf);
  const spec = useFormState((state) => (state.helpOf ? specOf(state, state.helpOf.field) : null));
  const base = useFormState((state) =>
    state.helpOf ? baseOf(state, state.helpOf.field, state.helpOf.path) : undefined,
  );
  const own = useFormState((state) => (state.helpOf ? getIn(state.data, state.helpOf.path) : undefined));
  if (!helpOf || !spec) return null;
  const { field, path, anchor } = helpOf;
  const { left, top, width, height } = anchor.getBoundingClientRect();
  const close = () => {
    form.store.setState({ helpOf: null });
    anchor.focus();
  };
  const facts: [string, string][] = [
    ["Default", spec.usual === undefined ? "none; it must be given" : shown(spec.usual)],
    ...(isSame(base, spec.usual) ? [] : [["Preset", shown(base)] as [string, string]]),
    ...(spec.limits ? [["Limits", spec.limits] as [string, string]] : []),
    ["In a job file", field.pattern],
    ...(field.facts.kohya.length > 0 ? [["kohya", field.facts.kohya.join(", ")] as [string, string]] : []),
    ...(field.facts.aitoolkit.length > 0 ? [["ai-toolkit", field.facts.aitoolkit.join(", ")] as [string, string]] : []),
  ];
  return (
    <Popover
      opened
      onChange={(opened) => !opened && close()}
      onDismiss={close}
      width={340}
      shadow="md"
      withArrow
      trapFocus
      position="bottom-start"
      // What it hangs on is a place, and no control that could be said to be expanded.
      withRoles={false}
    >
      <Popover.Target>
        <div className={classes.anchor} style={{ left, top, width, height }} />
      </Popover.Target>
      <Popover.Dropdown role="dialog" aria-label={`Help for ${field.label}`}>
        <Stack gap="xs">
          <Group justify="space-between" wrap="nowrap">
            <Text fw={650} size="sm">
              {field.label}
            </Text>
            <Badge size="xs" variant="default" tt="none">
              {field.facts.level}
            </Badge>
          </Group>
          <Text size="sm" style={{ whiteSpace: "pre-line", overflowWrap: "anywhere" }}>
            {spec.help}
          </Text>
          <Stack gap={4}>
            {facts.map(([name, text]) => (
              <Group key={name} gap="xs" wrap="nowrap" align="baseline">
                <Text size="xs" c="dimmed" w="5.5rem" style={{ flex: "none" }}>
                  {name}
                </Text>
                <Code style={{ overflowWrap: "anywhere", background: "none", padding: 0 }}>{text}</Code>
              </Group>
            ))}
          </Stack>
          {field.facts.architectures.length > 0 && (
            <Text size="xs" c="dimmed">
              Only for {field.facts.architectures.join(", ")}.
            </Text>
          )}
          <Group gap="xs">
            {own !== undefined && !isSame(base, spec.usual) && spec.usual !== undefined && (
              <Button size="compact-sm" variant="default" onClick={() => form.set(path, spec.usual)}>
                Use the default
              </Button>
            )}
            {own !== undefined && base !== undefined && !isSame(own, base) && (
              <Button size="compact-sm" variant="default" onClick={() => form.set(path, undefined)}>
                {isSame(base, spec.usual) ? "Back to the default" : "Back to the preset"}
              </Button>
            )}
            <Button size="compact-sm" variant="subtle" onClick={close} data-autofocus>
              Close
            </Button>
          </Group>
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}
