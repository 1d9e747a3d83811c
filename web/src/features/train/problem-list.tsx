import { Anchor, Button, Group, Stack, Text, Title } from "@mantine/core";
import { CircleAlert, CircleCheck, Info, TriangleAlert } from "lucide-react";
import type { Form } from "@/forms/form";
import { patternOf } from "@/forms/paths";
import { plural } from "@/shared/format";
import type { CheckOut, FindingOut } from "./use-server-says";

const ORDER = ["error", "warning", "note"];
const ICONS = { error: CircleAlert, warning: TriangleAlert, note: Info };

/** Everything that is to be said about the draft; each leads to its field and may be mended by a click. */
export function ProblemList(props: {
  form: Form;
  check: CheckOut | undefined;
  isPending: boolean;
  jump: (path: string) => void;
}) {
  const { form, check, jump } = props;
  const found = (check?.findings ?? []).toSorted((a, b) => ORDER.indexOf(a.level) - ORDER.indexOf(b.level));
  const errors = found.filter((each) => each.level === "error").length;
  const mended = found.filter((each) => each.level === "error").flatMap((each) => each.fix);
  return (
    <Stack gap="xs" aria-live="polite">
      <Group justify="space-between">
        <Title order={2} size="h5">
          {props.isPending ? "Problems" : errors > 0 ? plural(errors, "problem") : "No problems"}
        </Title>
        {!props.isPending && errors === 0 && <CircleCheck size={18} color="var(--said-good)" aria-hidden />}
        {mended.length > 1 && (
          <Button size="compact-xs" variant="light" onClick={() => form.apply(mended)}>
            Fix all
          </Button>
        )}
      </Group>
      {found.map((each) => {
        const Icon = ICONS[each.level];
        const path = each.fields[0];
        return (
          <Group key={each.sentence} gap="xs" wrap="nowrap" align="flex-start">
            <Icon
              size={16}
              aria-label={each.level}
              color={each.level === "note" ? "var(--mantine-color-dimmed)" : `var(--said-${each.level})`}
              style={{ flex: "none", marginTop: 2 }}
            />
            <Stack gap={2} flex={1} miw={0}>
              {path && (
                <Anchor component="button" size="sm" ta="start" onClick={() => jump(path)}>
                  {labelOf(form, path)}
                </Anchor>
              )}
              <Text size="xs" style={{ overflowWrap: "anywhere" }}>
                {say(each)}
              </Text>
            </Stack>
            {each.fix.length > 0 && (
              <Button
                size="compact-xs"
                variant="light"
                onClick={() => form.apply(each.fix)}
                aria-label={`Fix ${path ? labelOf(form, path) : "it"}`}
              >
                Fix
              </Button>
            )}
          </Group>
        );
      })}
    </Stack>
  );
}

function say(found: FindingOut): string {
  if (found.code === "missing") return "is needed.";
  return found.message.charAt(0).toUpperCase() + found.message.slice(1);
}

function labelOf(form: Form, path: string): string {
  const pattern = patternOf(path);
  const field = form.model.byPattern.get(pattern);
  const place = /^datasets\.(\d+)\./.exec(path);
  const label = field?.label ?? path;
  return place && place[1] !== "0" ? `Dataset ${Number(place[1]) + 1}: ${label}` : label;
}
