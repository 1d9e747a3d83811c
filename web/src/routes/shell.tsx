import { Anchor, AppShell, Stack } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { Link, Outlet, useNavigate } from "@tanstack/react-router";
import { JobEnds } from "@/features/queue/job-ends";
import { useShortcut } from "@/shared/shortcuts";
import { DropAnywhere } from "./drop-anywhere";
import { HelpSheet } from "./help-sheet";
import { Palette } from "./palette";
import { PLACES } from "./places";
import classes from "./shell.module.css";
import { TopBar } from "./top-bar";

function Places() {
  return PLACES.map(({ to, label, icon: Icon }) => (
    <Link key={to} to={to} className={classes.place} activeOptions={{ exact: to === "/" }}>
      <Icon size={18} aria-hidden />
      {label}
    </Link>
  ));
}

function GoTo(props: { to: string; label: string; letter: string }) {
  const navigate = useNavigate();
  useShortcut(`g ${props.letter}`, props.label, () => void navigate({ to: props.to }), { group: "Go to" });
  return null;
}

/** What stands around every page: a rail, or on a phone a bar at the bottom, and the top bar. */
export function Shell() {
  const isPhone = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  return (
    <AppShell
      header={{ height: "var(--top)" }}
      navbar={{ width: "var(--rail)", breakpoint: "48em", collapsed: { mobile: true } }}
      padding={isPhone ? "md" : "lg"}
    >
      <Anchor href="#main" className={classes.skip}>
        To the content
      </Anchor>
      <AppShell.Header className={classes.top}>
        <TopBar isPhone={isPhone} />
      </AppShell.Header>
      {!isPhone && (
        <AppShell.Navbar className={classes.rail} p="sm" component="div">
          <Stack component="nav" gap={2} aria-label="Places">
            <Places />
          </Stack>
        </AppShell.Navbar>
      )}
      <AppShell.Main id="main" tabIndex={-1} className={classes.main} data-phone={isPhone || undefined}>
        <Outlet />
      </AppShell.Main>
      {isPhone && (
        <nav className={classes.bottom} aria-label="Places">
          <Places />
        </nav>
      )}
      {PLACES.map(({ to, label, key }) => (
        <GoTo key={to} to={to} label={label} letter={key} />
      ))}
      <HelpSheet />
      <Palette />
      <DropAnywhere />
      <JobEnds />
    </AppShell>
  );
}
