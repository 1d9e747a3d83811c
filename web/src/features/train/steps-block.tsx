import { Anchor, Button, Collapse, Group, NumberInput, Stack, Text, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { Plan, PlanOut } from "@/api/generated/types.gen";
import type { Form } from "@/forms/form";
import { count, duration, plural, significant } from "@/shared/format";
import classes from "./train.module.css";
import type { Wish } from "./use-server-says";

/** How many steps it comes to, in the arithmetic that people do, and the true number where it is another one. */
export function StepsBlock(props: {
  form: Form;
  answer: PlanOut | undefined;
  wish: Wish;
  change: (wish: Wish) => void;
}) {
  const { form, answer, wish, change } = props;
  const [opened, tools] = useDisclosure(false);
  const plan = answer?.plan;
  const sum = plan?.calculation;
  const epochs = answer?.epochs_for_steps;
  return (
    <Stack gap={6}>
      <Group justify="space-between" align="baseline">
        <Title order={2} size="h5">
          Steps
        </Title>
        <Text fw={650} className="numbers" aria-live="polite">
          {plan ? count(plan.total_steps) : "–"}
        </Text>
      </Group>
      {sum ? (
        <Text size="sm" className={`numbers ${classes.calculation}`} data-testid="calculation">
          {sum.text}
        </Text>
      ) : (
        <Text size="sm" c="dimmed">
          {answer?.reason ?? "Counting…"}
        </Text>
      )}
      {sum?.differs && (
        <Stack gap={2}>
          <Text size="sm" className="numbers">
            In truth {plural(sum.true_steps, "step")}, {significant(sum.true_epochs)} epochs:
          </Text>
          {sum.reasons.map((reason) => (
            <Text key={reason} size="xs" c="dimmed">
              {reason}
            </Text>
          ))}
        </Stack>
      )}
      {plan && (
        <Text size="sm" c="dimmed">
          {plan.seconds === null
            ? "Time: known after a first run on this machine."
            : `About ${duration(plan.seconds)}, ${significant(plan.seconds_per_step)} s a step${restOf(plan)}.`}
        </Text>
      )}
      <Anchor component="button" size="sm" onClick={tools.toggle} aria-expanded={opened} style={{ alignSelf: "start" }}>
        {opened ? "Hide the calculator" : "Calculate with other numbers"}
      </Anchor>
      <Collapse expanded={opened}>
        <Stack gap="xs">
          <NumberInput
            size="xs"
            label="Pictures, in the place of the dataset's"
            value={wish.pictures ?? ""}
            onChange={(value) => change({ pictures: typeof value === "number" && value > 0 ? value : undefined })}
            min={1}
            max={10_000_000}
            allowDecimal={false}
          />
          <NumberInput
            size="xs"
            label="Steps that are wanted"
            value={wish.steps ?? ""}
            onChange={(value) => change({ steps: typeof value === "number" && value > 0 ? value : undefined })}
            min={1}
            max={1_000_000_000}
            allowDecimal={false}
          />
          {epochs && (
            <Group justify="space-between" gap="xs">
              <Text size="sm" className="numbers">
                {plural(epochs.epochs, "epoch")} = {plural(epochs.steps, "step")}
              </Text>
              <Button
                size="compact-xs"
                variant="light"
                onClick={() =>
                  form.apply([
                    { path: "duration.epochs", value: epochs.epochs },
                    { path: "duration.steps", remove: true },
                  ])
                }
              >
                Use
              </Button>
            </Group>
          )}
        </Stack>
      </Collapse>
    </Stack>
  );
}

/** Steps alone do not explain a time that goes mostly into samples. */
function restOf(plan: Plan): string {
  const steps = plan.total_steps * (plan.seconds_per_step ?? 0);
  return (plan.seconds ?? 0) > 2 * steps ? "; most of it for samples" : "";
}
