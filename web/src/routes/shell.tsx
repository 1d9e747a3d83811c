import { Anchor } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { Link, Outlet, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { useShortcut } from "@/shared/shortcuts";
import { DropAnywhere } from "./drop-anywhere";
import { PaletteGate } from "./palette-gate";
import { PLACES, type Place } from "./places";
import classes from "./shell.module.css";
import { TopBar } from "./top-bar";

const Late = lazy(() => import("./late"));

function Places() {
  return PLACES.map(({ to, label, icon: Icon }) => (
    <Link key={to} to={to} className={classes.place} activeOptions={{ exact: to === "/" }}>
      <Icon size={18} aria-hidden />
      {label}
    </Link>
  ));
}

function GoTo({ place }: { place: Place }) {
  const navigate = useNavigate();
  const go = () => {
    // A question that is open is answered first.
    if (!document.querySelector("[aria-modal=true]")) void navigate({ to: place.to });
  };
  useShortcut(`g ${place.key}`, place.label, go, { group: "Go to" });
  return null;
}

/** What stands around every page: a rail, or on a phone a bar at the bottom, and the top bar. */
export function Shell() {
  const isPhone = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  return (
    <div className={classes.shell} data-phone={isPhone || undefined}>
      <Anchor
        href="#main"
        className={classes.skip}
        onClick={(event) => {
          // The page's base would make Home of this address.
          event.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
        To the content
      </Anchor>
      <header className={classes.top}>
        <TopBar isPhone={isPhone} />
      </header>
      <nav className={isPhone ? classes.bottom : classes.rail} aria-label="Places">
        <Places />
      </nav>
      <main id="main" tabIndex={-1} className={classes.main}>
        <Outlet />
      </main>
      {PLACES.map((place) => (
        <GoTo key={place.to} place={place} />
      ))}
      <PaletteGate />
      <DropAnywhere />
      <Suspense fallback={null}>
        <Late />
      </Suspense>
    </div>
  );
}
