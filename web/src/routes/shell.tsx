import { Anchor, AppShell, Group, Stack, Text } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { Link, Outlet } from "@tanstack/react-router";
import mark from "@/shared/mark.svg";
import { PLACES } from "./places";
import classes from "./shell.module.css";

function Places() {
  return PLACES.map(({ to, label, icon: Icon }) => (
    <Link key={to} to={to} className={classes.place} activeOptions={{ exact: to === "/" }}>
      <Icon size={18} aria-hidden />
      {label}
    </Link>
  ));
}

/** What stands around every page: a rail, or on a phone a bar at the bottom, and the top bar. */
export function Shell() {
  const isPhone = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  return (
    <AppShell
      header={{ height: "var(--top)" }}
      navbar={{ width: "var(--rail)", breakpoint: "48em", collapsed: { mobile: true } }}
      padding="lg"
    >
      <Anchor href="#main" className={classes.skip}>
        To the content
      </Anchor>
      <AppShell.Header className={classes.top}>
        <Group h="100%" px="md" gap="sm" wrap="nowrap">
          <img src={mark} alt="" width={26} height={26} />
          <Text fw={650}>Loratory</Text>
        </Group>
      </AppShell.Header>
      {!isPhone && (
        <AppShell.Navbar className={classes.rail} p="sm">
          <Stack component="nav" gap={2} aria-label="Places">
            <Places />
          </Stack>
        </AppShell.Navbar>
      )}
      <AppShell.Main id="main" pb={isPhone ? "5rem" : undefined}>
        <Outlet />
      </AppShell.Main>
      {isPhone && (
        <nav className={classes.bottom} aria-label="Places">
          <Places />
        </nav>
      )}
    </AppShell>
  );
}
