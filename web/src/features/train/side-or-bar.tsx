import { Button, Drawer, Group, Text } from "@mantine/core";
import { useDisclosure, useMediaQuery } from "@mantine/hooks";
import { ChevronUp } from "lucide-react";
import { type ReactNode, useState } from "react";
import type { Form } from "@/forms/form";
import { count, plural } from "@/shared/format";
import { Summary, type Wishes } from "./summary";
import classes from "./train.module.css";
import { useCheck, usePlan, type Wish } from "./use-server-says";

interface Props {
  form: Form;
  jump: (path: string) => void;
  started: (id: string) => void;
}

const NO_WISH = {};

/** The summary beside the page; where there is no room, a bar at the bottom that opens it. */
export function SideOrBar(props: Props & { children: ReactNode }) {
  const isNarrow = useMediaQuery("(max-width: 68em)", false, { getInitialValueInEffect: false });
  // Here, so that it outlives the drawer.
  const [wish, setWish] = useState<Wish>({});
  const { children, ...own } = props;
  const rest = { ...own, wish, change: (more: Wish) => setWish((before) => ({ ...before, ...more })) };
  return (
    <div className={classes.columns}>
      <div className={isNarrow ? classes.room : undefined}>{children}</div>
      {isNarrow ? (
        <Bar {...rest} />
      ) : (
        <aside className={classes.side}>
          <Summary {...rest} />
        </aside>
      )}
    </div>
  );
}

function Bar({ form, jump, ...rest }: Props & Wishes) {
  const [opened, drawer] = useDisclosure(false);
  const plan = usePlan(form, NO_WISH).data?.plan;
  const errors = useCheck(form).data?.findings.filter((each) => each.level === "error").length ?? 0;
  return (
    <div className={classes.bar}>
      <Group justify="space-between" wrap="nowrap">
        <Text size="sm" className="numbers">
          {plan ? `${count(plan.total_steps)} steps` : "No steps yet"}
          {errors > 0 && (
            <Text span inherit c="var(--said-error)">
              {", "}
              {plural(errors, "problem")}
            </Text>
          )}
        </Text>
        <Button size="sm" rightSection={<ChevronUp size={16} aria-hidden />} onClick={drawer.open}>
          Summary and start
        </Button>
      </Group>
      <Drawer
        opened={opened}
        onClose={drawer.close}
        position="bottom"
        size="85%"
        title="Summary"
        closeButtonProps={{ "aria-label": "Close" }}
      >
        <Summary
          {...rest}
          form={form}
          jump={(path) => {
            drawer.close();
            jump(path);
          }}
        />
      </Drawer>
    </div>
  );
}
