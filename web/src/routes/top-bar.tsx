import { ActionIcon, Group, Kbd, Text, Tooltip, UnstyledButton } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { CircleQuestionMark, Search } from "lucide-react";
import { JobPill } from "@/features/queue/job-pill";
import { Meter } from "@/features/system/meter";
import { ConnectionSign } from "@/shared/connection-sign";
import mark from "@/shared/mark.svg";
import { keySigns } from "@/shared/shortcuts";
import { toggleHelp } from "./help-store";
import { togglePalette } from "./palette-store";
import classes from "./shell.module.css";
import { ThemeSwitch } from "./theme-switch";

/** The name, the search, what works now, and how the machine and the connection are. */
export function TopBar(props: { isPhone: boolean }) {
  return (
    <Group h="100%" px="md" gap="sm" wrap="nowrap">
      <Link to="/" className={classes.name} aria-label="Loratory, home">
        <img src={mark} alt="" width={26} height={26} />
        <Text fw={650} visibleFrom="sm">
          Loratory
        </Text>
      </Link>
      {props.isPhone ? (
        <ActionIcon variant="subtle" color="gray" c="dimmed" size="lg" onClick={togglePalette} aria-label="Search">
          <Search size={18} aria-hidden />
        </ActionIcon>
      ) : (
        <UnstyledButton className={classes.search} onClick={togglePalette} aria-label="Search and commands">
          <Search size={16} aria-hidden />
          <Text size="sm" c="dimmed" flex={1}>
            Search
          </Text>
          <Kbd size="xs" visibleFrom="md">
            {keySigns("mod+k").flat().join(" ")}
          </Kbd>
        </UnstyledButton>
      )}
      <Group ml="auto" gap="xs" wrap="nowrap" miw={0}>
        <ConnectionSign />
        <JobPill />
        <Meter isSmall={props.isPhone} />
        {!props.isPhone && (
          <Tooltip label="Keyboard shortcuts">
            <ActionIcon
              variant="subtle"
              color="gray"
              c="dimmed"
              size="lg"
              onClick={toggleHelp}
              aria-label="Keyboard shortcuts"
            >
              <CircleQuestionMark size={18} aria-hidden />
            </ActionIcon>
          </Tooltip>
        )}
        <ThemeSwitch />
      </Group>
    </Group>
  );
}
